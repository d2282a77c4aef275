/**
 * Takes one layer in, bytes to files: hashes what arrives, keeps it for a later attempt, decompresses, hashes, indexes and
 * writes what comes out. Runs in a worker thread with blocking writes; nothing here is visible to readers of the store.
 */
import { createHash, type Hash } from 'node:crypto'
import { closeSync, fdatasync, fdatasyncSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { AppError, WireError, systemCode } from '../../base/errors.ts'
import { parseDigest, type Digest } from '../../formats/oci/digest.ts'
import { serializeLayerIndex } from '../../formats/tar/index-codec.ts'
import { createTarIndexer } from '../../formats/tar/indexer.ts'
import type { TarLimits } from '../../formats/tar/limits.ts'
import { LeafHasher } from '../../formats/verity/leaves.ts'
import { decompress, type DecompressionLimits } from './decompress.ts'

/** Plain data, so that it can be handed to a thread. */
export interface IngestJob {
  /** How errors name the layer. */
  readonly name: string
  readonly digest: Digest | undefined
  readonly sizeBytes: number | undefined
  readonly diffId: Digest | undefined
  /** Where arrived bytes are kept, and may be from an earlier attempt; undefined to keep none. */
  readonly partPath: string | undefined
  /** Where the plain layer and its index are written; undefined for a stored layer, of which only the leaves are made. */
  readonly layerPaths: { readonly blob: string; readonly index: string } | undefined
  /** Where the digests of the blocks of the layer's files are written. */
  readonly leavesPath: string
  /** Free space that the store grants. */
  readonly roomBytes: number
  readonly decompression: DecompressionLimits
  readonly tar: Partial<TarLimits>
}

export interface Ingested {
  readonly diffId: Digest
  readonly digest: Digest
  readonly sizeBytes: number
  readonly transferBytes: number
  readonly indexBytes: number
}

/** What the job is fed with: bytes from `offset` on. Undefined at the end. */
export interface Feed {
  start(offset: number): void
  next(): Promise<Uint8Array | undefined>
}

const READ_BYTES = 1 << 20
/** Written bytes that are sent on to the disk while more come: the sync at the end then has little to wait for. */
const SYNC_BYTES = 32 << 20

/**
 * @param onAllArrived called once when the last byte has arrived
 * @returns the names of what was written; it is synced to disk
 * @throws {AppError} invalid, exhausted; what `feed` throws. The files of the job may then be there in part
 */
export async function ingestLayer(job: IngestJob, feed: Feed, onAllArrived: () => void): Promise<Ingested> {
  const raw = new RawLayer(job, feed)
  const out = job.layerPaths === undefined ? undefined : new LargeFile(job.layerPaths.blob)
  const leaves = openSync(job.leavesPath, 'wx', 0o600)
  try {
    const plain = await unpack(job, raw, out, leaves).catch((error: unknown) => explainDamage(error, raw))
    await raw.drain()
    onAllArrived()
    const digest = raw.check()
    if (job.diffId !== undefined && plain.diffId !== job.diffId)
      throw new AppError(
        'invalid',
        `Cannot store ${job.name}: unpacked, its digest is ${plain.diffId}, not ${job.diffId}`,
      )
    fdatasyncSync(leaves)
    if (job.layerPaths !== undefined) {
      await out!.sync()
      writeSynced(job.layerPaths.index, plain.index)
    }
    return {
      diffId: plain.diffId,
      digest,
      sizeBytes: plain.sizeBytes,
      transferBytes: raw.bytes,
      indexBytes: plain.index.length,
    }
  } catch (error) {
    throw storeError(job, error)
  } finally {
    await out?.close()
    closeSync(leaves)
    raw.close()
  }
}

interface Unpacked {
  readonly diffId: Digest
  readonly sizeBytes: number
  readonly index: Uint8Array
}

async function unpack(job: IngestJob, raw: RawLayer, out: LargeFile | undefined, leaves: number): Promise<Unpacked> {
  const algorithm = job.diffId?.startsWith('sha512:') === true ? 'sha512' : 'sha256'
  const hash = createHash(algorithm)
  const hasher = new LeafHasher((bytes, at) => writeAll(leaves, bytes, at))
  const indexer = createTarIndexer(job.tar, (offset, length) => hasher.run(offset, length))
  let sizeBytes = 0
  // What is stored is plain, whatever its first bytes look like.
  const plain = job.layerPaths === undefined ? raw : decompress(raw, job.name, job.decompression)
  for await (const chunk of plain) {
    if (sizeBytes + chunk.length > job.roomBytes)
      throw new AppError('exhausted', `Cannot store ${job.name}: the store has room for ${job.roomBytes} bytes more`)
    // The index first: it is the one to refuse.
    indexer.push(chunk)
    hash.update(chunk)
    hasher.push(chunk)
    out?.write(chunk)
    sizeBytes += chunk.length
  }
  const index = serializeLayerIndex(indexer.end())
  hasher.end()
  return { diffId: parseDigest(`${algorithm}:${hash.digest('hex')}`), sizeBytes, index }
}

/** Where the bytes are not what was promised, that is the reason to tell, not what became of it further on. */
async function explainDamage(error: unknown, raw: RawLayer): Promise<never> {
  const isOfContent =
    error instanceof WireError || (error instanceof AppError && / is (?:cut short|damaged)$/.test(error.message))
  if (isOfContent && raw.isPromised) {
    await raw.drain()
    raw.check()
  }
  throw error
}

function storeError(job: IngestJob, error: unknown): unknown {
  if (error instanceof WireError)
    return new AppError('invalid', `Cannot store ${job.name}: ${error.message.replace(/^Cannot read /, '')}`, {
      cause: error,
    })
  const code = systemCode(error)
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new AppError('exhausted', `Cannot store ${job.name}: no space is left on the disk`, { cause: error })
  if (code === 'EIO' || code === 'EROFS')
    return new AppError('internal', `Cannot store ${job.name}: the disk does not take it (${code})`, { cause: error })
  return error
}

/** The bytes as they arrive: what an earlier attempt left, then what the feed brings. Counts, hashes and keeps them. */
class RawLayer implements AsyncIterable<Uint8Array> {
  readonly #job: IngestJob
  readonly #feed: Feed
  readonly #hash: Hash
  readonly #algorithm: string
  #part: number | undefined
  #isReplaying: boolean
  #isEnded = false
  bytes = 0

  constructor(job: IngestJob, feed: Feed) {
    this.#job = job
    this.#feed = feed
    this.#algorithm = job.digest?.startsWith('sha512:') === true ? 'sha512' : 'sha256'
    this.#hash = createHash(this.#algorithm)
    this.#part = job.partPath === undefined ? undefined : openSync(job.partPath, 'a+', 0o600)
    this.#isReplaying = this.#part !== undefined
    if (!this.#isReplaying) feed.start(0)
  }

  /** Whether somebody said what the bytes must be. */
  get isPromised(): boolean {
    return this.#job.digest !== undefined
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: async () => {
        const value = await this.next()
        return value === undefined ? { done: true, value } : { done: false, value }
      },
    }
  }

  async next(): Promise<Uint8Array | undefined> {
    if (this.#isEnded) return undefined
    const chunk = this.#isReplaying ? (this.#replay() ?? (await this.#feed.next())) : await this.#feed.next()
    if (chunk === undefined) {
      this.#isEnded = true
      return undefined
    }
    if (!this.#isReplaying && this.#part !== undefined) writeAll(this.#part, chunk)
    this.bytes += chunk.length
    const { sizeBytes, name } = this.#job
    if (sizeBytes !== undefined && this.bytes > sizeBytes)
      throw new AppError(
        'invalid',
        `Cannot store ${name}: it is longer than the ${sizeBytes} bytes that its manifest says`,
      )
    this.#hash.update(chunk)
    return chunk
  }

  /** Lets all that is left pass by. */
  async drain(): Promise<void> {
    while ((await this.next()) !== undefined);
  }

  /** The digest. @throws {AppError} invalid when digest or size are not as promised. To be called once, at the end */
  check(): Digest {
    const { sizeBytes, name, digest } = this.#job
    if (sizeBytes !== undefined && this.bytes !== sizeBytes)
      throw new AppError(
        'invalid',
        `Cannot store ${name}: it ends after ${this.bytes} bytes, its manifest says ${sizeBytes}`,
      )
    const actual = parseDigest(`${this.#algorithm}:${this.#hash.digest('hex')}`)
    if (digest !== undefined && actual !== digest)
      throw new AppError('invalid', `Cannot store ${name}: its digest is ${actual}, not ${digest}`)
    return actual
  }

  close(): void {
    if (this.#part !== undefined) closeSync(this.#part)
    this.#part = undefined
  }

  #replay(): Uint8Array | undefined {
    const chunk = Buffer.allocUnsafeSlow(READ_BYTES)
    const length = readSync(this.#part!, chunk, 0, READ_BYTES, this.bytes)
    if (length > 0) return chunk.subarray(0, length)
    this.#isReplaying = false
    this.#feed.start(this.bytes)
    return undefined
  }
}

/** A new file whose bytes go to the disk while it is written. */
class LargeFile {
  readonly #file: number
  #bytes = 0
  #syncedBytes = 0
  #syncing: Promise<void> | undefined
  /** The kernel tells of a failed write once: to the sync that comes first. */
  #failure: unknown

  constructor(path: string) {
    this.#file = openSync(path, 'wx', 0o600)
  }

  write(bytes: Uint8Array): void {
    if (this.#failure !== undefined) throw this.#failure
    writeAll(this.#file, bytes)
    this.#bytes += bytes.length
    if (this.#syncing !== undefined || this.#bytes - this.#syncedBytes < SYNC_BYTES) return
    this.#syncedBytes = this.#bytes
    this.#syncing = new Promise((resolve) =>
      fdatasync(this.#file, (error) => {
        this.#failure ??= error ?? undefined
        this.#syncing = undefined
        resolve()
      }),
    )
  }

  /** Returns when all that was written is on the disk. */
  async sync(): Promise<void> {
    await this.#syncing
    if (this.#failure !== undefined) throw this.#failure
    fdatasyncSync(this.#file)
  }

  async close(): Promise<void> {
    await this.#syncing
    closeSync(this.#file)
  }
}

/** @param position where in the file; by default behind what was written */
function writeAll(file: number, bytes: Uint8Array, position?: number): void {
  for (let at = 0; at < bytes.length;)
    at += writeSync(file, bytes, at, undefined, position === undefined ? undefined : position + at)
}

export function writeSynced(path: string, bytes: Uint8Array): void {
  const file = openSync(path, 'wx', 0o600)
  try {
    writeAll(file, bytes)
    fdatasyncSync(file)
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
}
