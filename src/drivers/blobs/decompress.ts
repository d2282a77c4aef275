/** Compressed bytes to plain ones, by their magic, within budgets, so that a decompression bomb costs little. */
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import { ReadableStream } from 'node:stream/web'
import { createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib'
import { AppError, systemCode } from '../../base/errors.ts'
import { createLz4Decoder } from '../../formats/lz4/frame.ts'

export interface DecompressionLimits {
  /** Most bytes that may come out. */
  readonly plainBytes: number
  /** Most bytes that may come out for one that went in, once `freeBytes` are out. */
  readonly ratio: number
  /** So much may come out whatever went in. */
  readonly freeBytes: number
  /** Most time that decompression itself may take, waiting for input excluded, milliseconds. */
  readonly workMs: number
}

/** gzip makes at best 1 of 1032; what images hold is made 1 of 2 to 10, long runs of zeros excepted. */
export const DECOMPRESSION_LIMITS: DecompressionLimits = {
  plainBytes: 64 * 1024 ** 3,
  ratio: 200,
  freeBytes: 256 << 20,
  workMs: 60 * 60_000,
}

export const COMPRESSIONS = ['none', 'gzip', 'zstd', 'xz', 'lz4'] as const
export type Compression = (typeof COMPRESSIONS)[number]

/** Long enough for every magic below. */
export const MAGIC_BYTES = 6
const CHUNK_BYTES = 256 << 10

/** Which compression the first bytes announce; `none` where they announce none that we read. */
export function sniff(head: Uint8Array): Compression {
  const hex = Buffer.from(head.buffer, head.byteOffset, Math.min(head.length, MAGIC_BYTES)).toString('hex')
  if (hex.startsWith('1f8b')) return 'gzip'
  if (hex.startsWith('28b52ffd') || /^5.2a4d18/.test(hex)) return 'zstd'
  if (hex.startsWith('fd377a585a00')) return 'xz'
  if (hex.startsWith('04224d18') || hex.startsWith('02214c18')) return 'lz4'
  return 'none'
}

/**
 * The plain bytes of `source`.
 * @param name how errors name the source
 * @throws {AppError} invalid when the data is broken, cut, or breaks a budget; unsupported where xz data meets no decoder
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  name: string,
  limits: DecompressionLimits,
): AsyncGenerator<Uint8Array> {
  const input = new Input(source)
  const kind = sniff(await input.peek(MAGIC_BYTES))
  const meter = new Meter(kind, name, limits, input)
  if (kind === 'none') {
    for await (const chunk of input) yield meter.passed(chunk)
    return
  }
  const decoder = decoderOf(kind)(input)[Symbol.asyncIterator]()
  try {
    for (let workMs = 0; ;) {
      const before = { atMs: performance.now(), waitedMs: input.waitedMs }
      const { value, done } = await decoder.next()
      workMs += Math.max(performance.now() - before.atMs - (input.waitedMs - before.waitedMs), 0)
      if (done) return
      meter.worked(workMs)
      yield meter.passed(value)
    }
  } catch (cause) {
    // A failure of the source is the source's; AppErrors are ours already.
    if (cause instanceof AppError || cause === input.failure) throw cause
    throw new AppError(
      'invalid',
      `Cannot unpack ${name}: its ${kind} data is ${isCut(cause) ? 'cut short' : 'damaged'}`,
      {
        cause,
      },
    )
  } finally {
    await decoder.return?.()
  }
}

type Decoder = (input: Input) => AsyncIterable<Uint8Array>

function decoderOf(kind: Exclude<Compression, 'none'>): Decoder {
  switch (kind) {
    case 'gzip':
      return (input) => throughZlib(createGunzip({ chunkSize: CHUNK_BYTES }), input)
    case 'zstd':
      return (input) => throughZlib(createZstdDecompress({ chunkSize: CHUNK_BYTES }), input)
    case 'lz4':
      return throughLz4
    case 'xz':
      return throughXz
  }
}

async function* throughZlib(stream: Gunzip | ZstdDecompress, input: Input): AsyncGenerator<Uint8Array> {
  // Readable.from ends the stream's input; its errors come out of the iteration through destroy.
  const source = Readable.from(input, { objectMode: false, highWaterMark: CHUNK_BYTES })
  source.on('error', (error) => stream.destroy(error))
  source.pipe(stream)
  try {
    yield* stream as AsyncIterable<Buffer>
  } finally {
    source.destroy()
    stream.destroy()
  }
}

async function* throughLz4(input: Input): AsyncGenerator<Uint8Array> {
  const decoder = createLz4Decoder()
  for await (const chunk of input) yield* decoder.push(chunk)
  decoder.end()
}

/** The `xz` program where there is one (twice as fast), else WebAssembly. */
async function* throughXz(input: Input): AsyncGenerator<Uint8Array> {
  const child = spawn('xz', ['--decompress', '--stdout', '--memlimit-decompress=256MiB'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
  })
  const spawned = await new Promise<boolean>((resolve, reject) => {
    child.once('spawn', () => resolve(true))
    child.once('error', (error) => (systemCode(error) === 'ENOENT' ? resolve(false) : reject(error)))
  })
  if (!spawned) return yield* throughXzWasm(input)
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(0, 500)))
  const status = new Promise<number | null>((resolve) => child.once('close', resolve))
  const source = Readable.from(input, { objectMode: false, highWaterMark: CHUNK_BYTES })
  source.on('error', () => child.kill('SIGKILL'))
  child.stdin.on('error', () => {}) // it ended early; its status says why
  source.pipe(child.stdin)
  try {
    yield* child.stdout as AsyncIterable<Buffer>
    const code = await status
    if (input.failure !== undefined) throw input.failure
    if (code !== 0) throw new Error(said.trim().replace(/^xz: \(stdin\): /, '') || `xz ended with status ${code}`)
  } finally {
    source.destroy()
    if (child.exitCode === null) child.kill('SIGKILL')
  }
}

async function* throughXzWasm(input: Input): AsyncGenerator<Uint8Array> {
  // Loaded only where it is needed; it is CommonJS, and Node does not see its names.
  const { XzReadableStream } = createRequire(import.meta.url)('xz-decompress') as typeof import('xz-decompress')
  const source = ReadableStream.from(input) as unknown as globalThis.ReadableStream<Uint8Array>
  yield* new XzReadableStream(source) as unknown as AsyncIterable<Uint8Array>
}

function isCut(error: unknown): boolean {
  return (
    systemCode(error) === 'Z_BUF_ERROR' || (error instanceof Error && /unexpected end|ends within/i.test(error.message))
  )
}

/** The source with a look-ahead, counting what it gave and how long it was waited for. */
class Input implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>
  #held: Uint8Array[] = []
  /** What the source threw. */
  failure: unknown
  bytes = 0
  waitedMs = 0

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** The first bytes, fewer where there are not so many. */
  async peek(length: number): Promise<Uint8Array> {
    const size = () => this.#held.reduce((sum, part) => sum + part.length, 0)
    while (size() < length) {
      const part = await this.#next()
      if (part === undefined) break
      this.#held.push(part)
    }
    return Buffer.concat(this.#held).subarray(0, length)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#held.splice(0)
      for (let part = await this.#next(); part !== undefined; part = await this.#next()) yield part
    } finally {
      await this.#source.return?.()
    }
  }

  async #next(): Promise<Uint8Array | undefined> {
    const startedMs = performance.now()
    try {
      const { value, done } = await this.#source.next()
      if (done) return undefined
      this.bytes += value.length
      return value
    } catch (error) {
      this.failure = error
      throw error
    } finally {
      this.waitedMs += performance.now() - startedMs
    }
  }
}

/** Charges the budgets. */
class Meter {
  readonly #kind: Compression
  readonly #name: string
  readonly #limits: DecompressionLimits
  readonly #input: Input
  #bytes = 0

  constructor(kind: Compression, name: string, limits: DecompressionLimits, input: Input) {
    this.#kind = kind
    this.#name = name
    this.#limits = limits
    this.#input = input
  }

  passed(chunk: Uint8Array): Uint8Array {
    this.#bytes += chunk.length
    const { plainBytes, ratio, freeBytes } = this.#limits
    if (this.#bytes > plainBytes) throw this.#refusal(`it unpacks to more than ${plainBytes} bytes`)
    if (this.#kind !== 'none' && this.#bytes > freeBytes && this.#bytes > this.#input.bytes * ratio)
      throw this.#refusal(
        `${this.#input.bytes} bytes unpack to more than ${this.#bytes}, over ${ratio} times as much: a decompression bomb`,
      )
    return chunk
  }

  worked(ms: number): void {
    if (ms > this.#limits.workMs)
      throw this.#refusal(`unpacking takes more than ${this.#limits.workMs / 1000} s: a decompression bomb`)
  }

  #refusal(why: string): AppError {
    return new AppError('invalid', `Cannot unpack ${this.#name}: ${why}`)
  }
}
