/**
 * Layers in a directory, uncompressed, each under its diff id with its index and its leaves beside it. A layer appears by a rename
 * after its bytes, its index and their digests are good and on disk; what is under way lies in `incoming/`.
 */
import { randomUUID } from 'node:crypto'
import { open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { AppError, WireError, systemCode } from '../../base/errors.ts'
import type { Extent } from '../../formats/extents.ts'
import { isDigest, parseDigest, type Digest } from '../../formats/oci/digest.ts'
import { parseLayerIndex } from '../../formats/tar/index-codec.ts'
import type { LayerIndex } from '../../formats/tar/layer-index.ts'
import type { TarLimits } from '../../formats/tar/limits.ts'
import { parseLeafTable, type LeafTable } from '../../formats/verity/leaves.ts'
import type { BlobStore, LayerSource, OnIngest, StoredLayer } from '../../services/images/ports.ts'
import type { BlobFiles, CheckOptions, LayerCheck, StoredBlob, Transfer } from '../../services/store/ports.ts'
import type { CheckJob } from './check-layer.ts'
import { makeDirectory, sizeOfFile, statOfFile } from '../files.ts'
import { checkInThread } from './check-thread.ts'
import { DECOMPRESSION_LIMITS, type DecompressionLimits } from './decompress.ts'
import type { IngestJob, Ingested } from './ingest.ts'
import { LayerThreads } from './layer-threads.ts'
import {
  ALGORITHMS,
  blobPath,
  digestOfSideFile,
  digestOfFile,
  indexPath,
  leavesPath,
  rottenPath,
  storePaths,
  type StorePaths,
} from './paths.ts'
import { Parts, type PartsConfig } from './parts.ts'
import { OpenBlob, readExtents } from './read.ts'

export interface BlobDirectoryConfig extends PartsConfig {
  readonly path: string
  /** Most bytes that the blobs may take together. Default: no bound but the disk. */
  readonly quotaBytes?: number
  readonly decompression?: Partial<DecompressionLimits>
  readonly tar?: Partial<TarLimits>
  /** How many layers are taken in at once. */
  readonly threads?: number
}

/** What the indexer allows, and room for one entry beyond and the head. */
const MAX_INDEX_BYTES = 32 * 1024 ** 2

/** Opens the store, makes its directories, and removes what an earlier process left behind that is of no use. */
export async function openBlobDirectory(config: BlobDirectoryConfig): Promise<BlobStore & BlobFiles & AsyncDisposable> {
  const paths = storePaths(config.path)
  for (const algorithm of ALGORITHMS) makeDirectory(join(paths.blobs, algorithm))
  makeDirectory(paths.incoming)
  const store = new BlobDirectory(config, paths)
  await store.clean()
  return store
}

class BlobDirectory implements BlobStore, BlobFiles, AsyncDisposable {
  readonly #config: BlobDirectoryConfig
  readonly #paths: StorePaths
  readonly #threads: LayerThreads
  readonly #parts: Parts
  /** Tables of leaves that are made now. */
  readonly #leavesUnderWay = new Map<Digest, Promise<LeafTable>>()
  /** Indexes that are made anew now. */
  readonly #indexesUnderWay = new Map<Digest, Promise<void>>()
  readonly #closing = new AbortController()
  #usedBytes = 0

  constructor(config: BlobDirectoryConfig, paths: StorePaths) {
    this.#config = config
    this.#paths = paths
    this.#threads = new LayerThreads(config.threads)
    this.#parts = new Parts(config, paths)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new AppError('interrupted', 'Cannot check a layer: the store is closed'))
    await this.#threads[Symbol.asyncDispose]()
  }

  expectLayers(): void {
    this.#threads.warm()
  }

  /** Removes unfinished files, what lies beside no layer and parts beyond the bounds; counts what there is. */
  async clean(): Promise<void> {
    for (const name of await readdir(this.#paths.incoming))
      if (!name.endsWith('.part')) await rm(join(this.#paths.incoming, name), { force: true, recursive: true })
    await this.#parts.trim()
    const blobs = new Set(await this.list())
    this.#usedBytes = 0
    for (const diffId of blobs) this.#usedBytes += (await stat(blobPath(this.#paths, diffId))).size
    for await (const { algorithm, directory, name } of this.#files()) {
      const digest = digestOfSideFile(algorithm, name)
      if (digest !== undefined && !blobs.has(digest)) await rm(join(directory, name), { force: true })
    }
  }

  async has(diffId: Digest): Promise<boolean> {
    // The blob is renamed into its place after its index, so that the blob alone says enough unless somebody took the index.
    return (
      (await sizeOfFile(blobPath(this.#paths, diffId))) !== undefined &&
      (await sizeOfFile(indexPath(this.#paths, diffId))) !== undefined &&
      (await sizeOfFile(rottenPath(this.#paths, diffId))) === undefined
    )
  }

  async sizeBytes(diffId: Digest): Promise<number> {
    const size = await sizeOfFile(blobPath(this.#paths, diffId))
    if (size === undefined) throw missing(diffId)
    return size
  }

  async ingest(source: LayerSource, onIngest: OnIngest, signal: AbortSignal): Promise<StoredLayer> {
    if (source.isResumable !== true || source.digest === undefined)
      return this.#attempt(source, undefined, onIngest, signal)
    using part = this.#parts.take(source.digest)
    if (part === undefined) throw new AppError('conflict', `Cannot store ${source.name}: it is being stored already`)
    try {
      await this.#parts.trim()
      const held = (await sizeOfFile(part.path)) ?? 0
      try {
        return await this.#attempt(source, part.path, onIngest, signal)
      } catch (error) {
        if (!isBadContent(error)) throw error
        await rm(part.path, { force: true })
        // What an earlier process kept may have been damaged by a power cut: then the transfer itself is not at fault.
        if (held === 0) throw error
        this.#config.log.warn('kept part of a layer was damaged, fetching it again', { digest: source.digest })
        return await this.#attempt(source, part.path, onIngest, signal)
      }
    } catch (error) {
      if (isBadContent(error)) await rm(part.path, { force: true })
      throw error
    }
  }

  async index(diffId: Digest): Promise<LayerIndex> {
    try {
      return await this.#storedIndex(diffId)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.#config.log.warn('index of a layer is damaged, making it again', { diffId, why: error.message })
    }
    await this.#remakeIndex(diffId)
    return this.#storedIndex(diffId)
  }

  async leaves(diffId: Digest): Promise<LeafTable> {
    const stored = await this.#storedLeaves(diffId)
    if (stored !== undefined) return stored
    let making = this.#leavesUnderWay.get(diffId)
    if (making === undefined) {
      making = this.#makeLeaves(diffId).finally(() => this.#leavesUnderWay.delete(diffId))
      this.#leavesUnderWay.set(diffId, making)
    }
    return making
  }

  async open(diffId: Digest): Promise<OpenBlob> {
    try {
      const file = await open(blobPath(this.#paths, diffId), 'r')
      return new OpenBlob(diffId, file, (await file.stat()).size)
    } catch (error) {
      if (systemCode(error) === 'ENOENT') throw missing(diffId)
      throw error
    }
  }

  readExtents(extents: readonly Extent[], from: number, to: number, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    return readExtents((blob) => this.open(parseDigest(blob)), extents, from, to, signal)
  }

  path(diffId: Digest): string {
    return blobPath(this.#paths, diffId)
  }

  async list(): Promise<readonly Digest[]> {
    const found: Digest[] = []
    for await (const { algorithm, name } of this.#files()) {
      const digest = digestOfFile(algorithm, name)
      if (digest !== undefined) found.push(digest)
    }
    return found
  }

  async remove(diffId: Digest): Promise<void> {
    const path = blobPath(this.#paths, diffId)
    const size = await sizeOfFile(path)
    // The blob first: what is beside it is nothing alone, and is cleaned at the next start.
    await rm(path, { force: true })
    await rm(indexPath(this.#paths, diffId), { force: true })
    await rm(leavesPath(this.#paths, diffId), { force: true })
    await rm(rottenPath(this.#paths, diffId), { force: true })
    this.#usedBytes -= size ?? 0
  }

  async usage(): Promise<readonly StoredBlob[]> {
    const found = new Map<Digest, StoredBlob>()
    const beside = new Map<Digest, number>()
    const rotten = new Set<Digest>()
    for await (const { algorithm, directory, name } of this.#files()) {
      const info = await statOfFile(join(directory, name))
      const diffId = digestOfFile(algorithm, name)
      const owner = digestOfSideFile(algorithm, name)
      if (info !== undefined && owner !== undefined) beside.set(owner, (beside.get(owner) ?? 0) + info.size)
      if (owner !== undefined && join(directory, name) === rottenPath(this.#paths, owner)) rotten.add(owner)
      if (info === undefined || diffId === undefined) continue
      found.set(diffId, { diffId, sizeBytes: info.size, besideBytes: 0, changedAtMs: info.mtimeMs, isRotten: false })
    }
    return [...found.values()].map((blob) => ({
      ...blob,
      besideBytes: beside.get(blob.diffId) ?? 0,
      isRotten: rotten.has(blob.diffId),
    }))
  }

  transfers(): Promise<readonly Transfer[]> {
    return this.#parts.list()
  }

  dropTransfer(digest: Digest): Promise<boolean> {
    return Promise.resolve(this.#parts.drop(digest))
  }

  async check(
    diffId: Digest,
    { repair, bytesPerSecond, onBytes = () => {}, signal }: CheckOptions,
  ): Promise<LayerCheck | undefined> {
    const job: CheckJob = {
      diffId,
      blobPath: blobPath(this.#paths, diffId),
      indexPath: indexPath(this.#paths, diffId),
      leavesPath: leavesPath(this.#paths, diffId),
      freshIndexPath: repair ? join(this.#paths.incoming, `${randomUUID()}.index.tmp`) : undefined,
      bytesPerSecond,
      tar: this.#config.tar ?? {},
    }
    try {
      const verdict = await checkInThread(job, onBytes, AbortSignal.any([signal, this.#closing.signal]))
      if (verdict === undefined) return undefined
      const { sizeBytes, rot, index, leaves } = verdict
      // What was read may have been replaced or removed meanwhile; then it says nothing of what is there now.
      if ((await statOfFile(job.blobPath))?.ino !== verdict.inode) return { sizeBytes, rot: undefined, beside: [] }
      if (rot !== undefined) {
        await writeFile(rottenPath(this.#paths, diffId), `${rot.why}\n`, { mode: 0o600 })
        return { sizeBytes, rot, beside: [] }
      }
      await rm(rottenPath(this.#paths, diffId), { force: true })
      const beside: LayerCheck['beside'][number][] = []
      if (index === 'damaged' || index === 'missing') {
        if (job.freshIndexPath !== undefined) await replaceDurably(job.freshIndexPath, job.indexPath)
        beside.push({ what: 'index', why: index, isRemade: repair })
      }
      if (leaves === 'damaged') {
        if (repair) await this.#makeLeaves(diffId)
        beside.push({ what: 'leaves', why: leaves, isRemade: repair })
      }
      return { sizeBytes, rot, beside }
    } finally {
      if (job.freshIndexPath !== undefined) await rm(job.freshIndexPath, { force: true })
    }
  }

  /** @throws {WireError} when it is damaged; {AppError} not_found */
  async #storedIndex(diffId: Digest): Promise<LayerIndex> {
    const path = indexPath(this.#paths, diffId)
    const size = await sizeOfFile(path)
    const blobSize = await sizeOfFile(blobPath(this.#paths, diffId))
    if (size === undefined || blobSize === undefined) throw missing(diffId)
    if (size > MAX_INDEX_BYTES) throw new WireError('layer index', `it has ${size} bytes`)
    const index = parseLayerIndex(await readFile(path))
    if (index.blobBytes !== blobSize)
      throw new WireError('layer index', `it speaks of ${index.blobBytes} bytes, the layer has ${blobSize}`)
    return index
  }

  /** @throws {AppError} internal when the layer itself is not good */
  async #remakeIndex(diffId: Digest): Promise<void> {
    const making = this.#indexesUnderWay.get(diffId)
    if (making !== undefined) return making
    const remake = async () => {
      const checked = await this.check(diffId, { repair: true, signal: this.#closing.signal })
      if (checked === undefined) throw missing(diffId)
      if (checked.rot !== undefined)
        throw new AppError(
          'internal',
          `Cannot read layer ${diffId}: it is damaged, ${checked.rot.why}; "bareboat system check --repair" or a pull of the image fetches it again`,
        )
    }
    const work = remake().finally(() => this.#indexesUnderWay.delete(diffId))
    this.#indexesUnderWay.set(diffId, work)
    return work
  }

  async #attempt(
    source: LayerSource,
    part: string | undefined,
    onIngest: OnIngest,
    signal: AbortSignal,
  ): Promise<StoredLayer> {
    const staged = join(this.#paths.incoming, randomUUID())
    const layerPaths = { blob: `${staged}.tmp`, index: `${staged}.index.tmp` }
    const job: IngestJob = {
      name: source.name,
      digest: source.digest,
      sizeBytes: source.sizeBytes,
      diffId: source.diffId,
      partPath: part,
      layerPaths,
      leavesPath: `${staged}.leaves.tmp`,
      roomBytes: this.#roomBytes(),
      ...this.#limits(),
    }
    try {
      const from = { open: source.open.bind(source), onProgress: onIngest }
      const ingested = await this.#threads.run(job, from, signal)
      await this.#publish({ ...job, layerPaths }, ingested)
      if (part !== undefined) await rm(part, { force: true })
      const { diffId, digest, sizeBytes, transferBytes } = ingested
      return { diffId, digest, sizeBytes, transferBytes }
    } finally {
      for (const path of [layerPaths.blob, layerPaths.index, job.leavesPath]) await rm(path, { force: true })
    }
  }

  #limits(): Pick<IngestJob, 'decompression' | 'tar'> {
    return {
      decompression: { ...DECOMPRESSION_LIMITS, ...this.#config.decompression },
      tar: this.#config.tar ?? {},
    }
  }

  async #publish(
    job: IngestJob & { readonly layerPaths: { readonly blob: string; readonly index: string } },
    { diffId, sizeBytes }: Ingested,
  ): Promise<void> {
    if (await this.has(diffId)) return
    if (sizeBytes > this.#roomBytes())
      throw new AppError(
        'exhausted',
        `Cannot store ${job.name}: the store has room for ${this.#roomBytes()} bytes more`,
      )
    const target = blobPath(this.#paths, diffId)
    makeDirectory(dirname(target))
    try {
      const replacedBytes = (await sizeOfFile(target)) ?? 0
      await rename(job.leavesPath, leavesPath(this.#paths, diffId))
      await rename(job.layerPaths.index, indexPath(this.#paths, diffId))
      await rename(job.layerPaths.blob, target)
      this.#usedBytes += sizeBytes - replacedBytes
      await rm(rottenPath(this.#paths, diffId), { force: true })
      await syncDirectory(dirname(target))
      await syncDirectory(dirname(dirname(target)))
    } catch (error) {
      // What may not outlast a power cut must not look as if it were there.
      await this.remove(diffId)
      throw error
    }
  }

  /** The table that lies beside the layer; undefined where there is none, or one that is of no use. */
  async #storedLeaves(diffId: Digest): Promise<LeafTable | undefined> {
    const blobBytes = await this.sizeBytes(diffId)
    try {
      const table = parseLeafTable(await readFile(leavesPath(this.#paths, diffId)))
      if (table.blobBytes === blobBytes) return table
      this.#config.log.warn('leaves of a layer are of another one, making them again', { diffId })
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      if (!(error instanceof WireError)) throw error
      this.#config.log.warn('leaves of a layer are damaged, making them again', { diffId, why: error.message })
    }
    return undefined
  }

  /** Makes the table of a stored layer, whose diff id is verified by the way: leaves of damaged bytes would bless them. */
  async #makeLeaves(diffId: Digest): Promise<LeafTable> {
    await using blob = await this.open(diffId)
    const job: IngestJob = {
      name: `the leaves of layer ${diffId}`,
      digest: undefined,
      sizeBytes: blob.sizeBytes,
      diffId,
      partPath: undefined,
      layerPaths: undefined,
      leavesPath: join(this.#paths.incoming, `${randomUUID()}.leaves.tmp`),
      roomBytes: Number.MAX_SAFE_INTEGER,
      ...this.#limits(),
    }
    const from = {
      open: (offset: number, signal: AbortSignal) => blob.stream(offset, blob.sizeBytes, signal),
      onProgress: () => {},
    }
    try {
      await this.#threads.run(job, from, new AbortController().signal)
      const table = parseLeafTable(await readFile(job.leavesPath))
      const target = leavesPath(this.#paths, diffId)
      await rename(job.leavesPath, target)
      await syncDirectory(dirname(target))
      return table
    } catch (cause) {
      if (!isBadContent(cause)) throw cause
      throw new AppError('internal', `Cannot read layer ${diffId}: it is damaged; remove the image and pull it again`, {
        cause,
      })
    } finally {
      await rm(job.leavesPath, { force: true })
    }
  }

  #roomBytes(): number {
    return Math.max((this.#config.quotaBytes ?? Number.MAX_SAFE_INTEGER) - this.#usedBytes, 0)
  }

  async *#files() {
    for (const algorithm of ALGORITHMS)
      for (const prefix of await readdir(join(this.#paths.blobs, algorithm))) {
        const directory = join(this.#paths.blobs, algorithm, prefix)
        for (const name of await readdir(directory)) yield { algorithm, directory, name }
      }
  }
}

/** The content itself is at fault: the same bytes will not do the next time. */
function isBadContent(error: unknown): boolean {
  return error instanceof AppError && error.code === 'invalid'
}

function missing(diffId: Digest): AppError {
  const name = isDigest(diffId) ? diffId : 'of no digest'
  return new AppError('not_found', `Cannot read layer ${name}: it is not in the store; pull the image again`)
}

async function replaceDurably(from: string, to: string): Promise<void> {
  await rename(from, to)
  await syncDirectory(dirname(to))
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
