/** Programs that are fed with a stream: what cannot be done in this process, or is done better by a program that is well kept. */
import { spawn, type ChildProcess } from 'node:child_process'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AppError, systemCode } from '../base/errors.ts'

export interface Program {
  readonly name: string
  readonly args: readonly string[]
  readonly cwd?: string
  /** What errors say cannot be done, e.g. `Cannot unpack into "/srv/x"`. */
  readonly doing: string
}

const COMPLAINT_BYTES = 8192
/** The reader has gone: what the program says of it counts, not that we could not write. */
const CLOSED = new Set(['EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET'])

/**
 * Feeds a program all of `input` and waits for its end.
 * @returns what it wrote to its standard error, cut
 * @throws {AppError} unsupported where the program is missing, exhausted when the disk is full, `internal` with its first words
 *   when it fails otherwise; the error of `input`
 */
export async function feedProgram(
  program: Program,
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<string> {
  await using running = new Running(program, 'ignore')
  await running.feed(input, signal)
  return await running.end()
}

/** What a program makes of `input`. @throws {AppError} as feedProgram, after what it made so far */
export async function* throughProgram(
  program: Program,
  input: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  await using running = new Running(program, 'pipe')
  const stop = new AbortController()
  const fed = running.feed(input, AbortSignal.any([signal, stop.signal]))
  // Its failure is told after the last piece.
  fed.catch(() => running.kill())
  try {
    yield* running.child.stdout as AsyncIterable<Buffer>
    await fed
    await running.end()
  } finally {
    stop.abort()
    await fed.catch(() => {})
  }
}

class Running implements AsyncDisposable {
  readonly child: ChildProcess
  readonly #doing: string
  readonly #ended: Promise<number | null>
  #said = ''

  constructor({ name, args, cwd, doing }: Program, stdout: 'pipe' | 'ignore') {
    this.#doing = doing
    // Messages in one language, and no options of the person's own.
    const env = { PATH: process.env['PATH'], LC_ALL: 'C' }
    this.child = spawn(name, args, { stdio: ['pipe', stdout, 'pipe'], env, ...(cwd === undefined ? {} : { cwd }) })
    this.child.stderr!.on('data', (chunk: Buffer) => {
      if (this.#said.length < COMPLAINT_BYTES) this.#said += chunk.toString('latin1')
    })
    this.#ended = new Promise((resolve, reject) => {
      this.child.once('error', (cause) => {
        const why = systemCode(cause) === 'ENOENT' ? `"${name}" is not installed on the server` : cause.message
        reject(new AppError('unsupported', `${doing}: ${why}`, { cause }))
      })
      this.child.once('close', resolve)
    })
    this.#ended.catch(() => {})
  }

  async feed(input: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    try {
      await pipeline(input, this.child.stdin as Writable, { signal })
    } catch (error) {
      if (signal.aborted || !CLOSED.has(systemCode(error) ?? '')) throw error
    }
  }

  async end(): Promise<string> {
    const code = await this.#ended
    if (code === 0) return this.#said
    // A write that fell short is all that tar says of it.
    if (/No space left on device|Disk quota exceeded|Wrote only \d+ of \d+ bytes/.test(this.#said))
      throw new AppError('exhausted', `${this.#doing}: no space is left on the disk`)
    const words = this.#said.trim().split('\n', 1)[0]!.slice(0, 500)
    throw new AppError('internal', `${this.#doing}: ${words || `it ended with ${code ?? this.child.signalCode}`}`)
  }

  kill(): void {
    this.child.kill('SIGKILL')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill()
    await this.#ended.catch(() => {})
  }
}
