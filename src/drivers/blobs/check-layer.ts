/**
 * Reads a stored layer whole and holds it against its diff id; makes its index and its leaves again by the way and holds them
 * against the stored ones. Runs in a worker thread with blocking reads, no faster than it is told to.
 */
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { systemCode, WireError } from '../../base/errors.ts'
import { digestParts, type Digest } from '../../formats/oci/digest.ts'
import { serializeLayerIndex } from '../../formats/tar/index-codec.ts'
import { createTarIndexer, type TarIndexer } from '../../formats/tar/indexer.ts'
import type { TarLimits } from '../../formats/tar/limits.ts'
import { BLOCK_BYTES, DIGEST_BYTES, digestInto } from '../../formats/verity/block.ts'
import { LeafHasher, parseLeafTable, type LeafTable } from '../../formats/verity/leaves.ts'
import type { ByteRange } from '../../services/store/ports.ts'
import { writeSynced } from './ingest.ts'

/** Plain data, so that it can be handed to a thread. */
export interface CheckJob {
  readonly diffId: Digest
  readonly blobPath: string
  readonly indexPath: string
  readonly leavesPath: string
  /** Where the index is written as it should be, when the stored one is not so; undefined to write nothing. */
  readonly freshIndexPath: string | undefined
  /** Undefined: as fast as it goes. */
  readonly bytesPerSecond: number | undefined
  readonly tar: Partial<TarLimits>
}

export interface LayerVerdict {
  /** Of the file that was read: another may have taken its place meanwhile. */
  readonly inode: number
  readonly sizeBytes: number
  /** Why the blob is not what it must be; undefined for a good one. */
  readonly rot: { readonly why: string; readonly ranges: readonly ByteRange[] } | undefined
  /** `unknown`: it is made of the blob, which is not good. */
  readonly index: 'good' | 'damaged' | 'missing' | 'unknown'
  /** A table that is missing is good: it is made when somebody asks for it. */
  readonly leaves: 'good' | 'damaged' | 'unknown'
}

const PIECE_BYTES = 1 << 20

/** @param onBytes how many have been read so far  @returns undefined where there is no such layer any more */
export async function checkLayer(job: CheckJob, onBytes: (bytes: number) => void): Promise<LayerVerdict | undefined> {
  const file = openIfThere(job.blobPath)
  if (file === undefined) return undefined
  try {
    const { ino, size } = fstatSync(file)
    const leaves = readIfThere(job.leavesPath)
    const read = await readWhole(job, file, size, leaves, onBytes)
    const verdict = { inode: ino, sizeBytes: size }
    if (read.rot === undefined)
      return {
        ...verdict,
        rot: undefined,
        index: judgeIndex(job, read.index),
        leaves: read.areLeavesGood ? 'good' : 'damaged',
      }
    const { why, ranges } = read.rot
    const where = ranges.length > 0 ? ranges : await locateRot(job, file, size, tableOf(leaves))
    return { ...verdict, rot: { why, ranges: where }, index: 'unknown', leaves: 'unknown' }
  } finally {
    closeSync(file)
  }
}

interface WholeRead {
  readonly rot: LayerVerdict['rot']
  /** As it should be; undefined where the layer is none that could be indexed. */
  readonly index: Uint8Array | undefined
  readonly areLeavesGood: boolean
}

async function readWhole(
  job: CheckJob,
  file: number,
  sizeBytes: number,
  storedLeaves: Buffer | undefined,
  onBytes: (bytes: number) => void,
): Promise<WholeRead> {
  const { algorithm, hex } = digestParts(job.diffId)
  const hash = createHash(algorithm)
  let areLeavesGood = true
  let leafBytes = 0
  const hasher = new LeafHasher((bytes, at) => {
    areLeavesGood &&= storedLeaves?.subarray(at, at + bytes.length).equals(bytes) !== false
    leafBytes = Math.max(leafBytes, at + bytes.length)
  })
  let indexer: TarIndexer | undefined = createTarIndexer(job.tar, (offset, length) => hasher.run(offset, length))
  const unreadable: ByteRange[] = []
  let reason = ''
  const startedMs = performance.now()
  for (let at = 0; at < sizeBytes;) {
    const wanted = Math.min(PIECE_BYTES, sizeBytes - at)
    // New memory each time: the indexer may keep what it is given.
    const piece = Buffer.allocUnsafeSlow(wanted)
    const got = readPiece(file, piece, at)
    if (typeof got === 'string') {
      unreadable.push({ from: at, to: at + wanted })
      reason = got
      indexer = undefined
      at += wanted
      continue
    }
    if (got === 0) break
    const bytes = piece.subarray(0, got)
    hash.update(bytes)
    try {
      indexer?.push(bytes)
      if (indexer !== undefined) hasher.push(bytes)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      indexer = undefined
    }
    at += got
    onBytes(at)
    if (job.bytesPerSecond !== undefined) await pace(startedMs, at, job.bytesPerSecond)
  }
  const rotten = (why: string): WholeRead => ({
    rot: { why, ranges: unreadable },
    index: undefined,
    areLeavesGood: false,
  })
  if (unreadable.length > 0) return rotten(`the disk does not give its bytes (${reason})`)
  const actual = hash.digest('hex')
  if (actual !== hex) return rotten(`its digest is ${algorithm}:${actual}`)
  const index = indexer && indexOf(indexer)
  if (index !== undefined) {
    hasher.end()
    areLeavesGood &&= storedLeaves === undefined || storedLeaves.length === leafBytes
  }
  return { rot: undefined, index, areLeavesGood }
}

/** Most ranges that are told. */
const MAX_RANGES = 1000

/** Which blocks of file data are not what their leaves say, and what is missing at the end. Without leaves nobody knows. */
async function locateRot(
  { bytesPerSecond }: CheckJob,
  file: number,
  sizeBytes: number,
  table: LeafTable | undefined,
): Promise<readonly ByteRange[]> {
  if (table === undefined) return []
  const ranges: { from: number; to: number }[] = []
  const add = (from: number, to: number) => {
    const last = ranges.at(-1)
    if (last?.to === from) last.to = to
    else if (ranges.length < MAX_RANGES) ranges.push({ from, to })
  }
  const startedMs = performance.now()
  let bytes = 0
  const digest = Buffer.alloc(DIGEST_BYTES)
  const block = Buffer.alloc(BLOCK_BYTES)
  for (const [run, offset] of table.offsets.entries()) {
    const end = Math.min(offset + table.lengths[run]!, sizeBytes)
    for (let at = offset, number = table.firsts[run]!; at < end; at += BLOCK_BYTES, number += 1) {
      const length = Math.min(BLOCK_BYTES, end - at)
      block.fill(0, length)
      const got = readPiece(file, block.subarray(0, length), at)
      digestInto(block, digest, 0)
      const leaf = table.digests.subarray(number * DIGEST_BYTES, (number + 1) * DIGEST_BYTES)
      if (got !== length || !digest.equals(leaf)) add(at, at + length)
      bytes += length
      if (bytesPerSecond !== undefined && bytes % PIECE_BYTES < BLOCK_BYTES)
        await pace(startedMs, bytes, bytesPerSecond)
    }
  }
  if (sizeBytes < table.blobBytes) add(sizeBytes, table.blobBytes)
  return ranges
}

function tableOf(bytes: Uint8Array | undefined): LeafTable | undefined {
  try {
    return bytes && parseLeafTable(bytes)
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}

function indexOf(indexer: TarIndexer): Uint8Array | undefined {
  try {
    return serializeLayerIndex(indexer.end())
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}

/** @returns how many bytes were read, or the code of a disk's failure */
function readPiece(file: number, into: Uint8Array, at: number): number | string {
  try {
    return readSync(file, into, 0, into.length, at)
  } catch (error) {
    const code = systemCode(error)
    if (code === undefined) throw error
    return code
  }
}

async function pace(startedMs: number, bytes: number, bytesPerSecond: number): Promise<void> {
  const aheadMs = (bytes / bytesPerSecond) * 1000 - (performance.now() - startedMs)
  if (aheadMs > 1) await delay(aheadMs)
}

function judgeIndex(job: CheckJob, right: Uint8Array | undefined): LayerVerdict['index'] {
  // A layer that could be stored can be indexed, unless the limits are others now: then the stored index is all there is.
  if (right === undefined) return 'good'
  const stored = readIfThere(job.indexPath)
  if (stored?.equals(right) === true) return 'good'
  if (job.freshIndexPath !== undefined) writeSynced(job.freshIndexPath, right)
  return stored === undefined ? 'missing' : 'damaged'
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, 'r')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** An unreadable file counts as one that is not there: it is made anew. */
function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path)
  } catch (error) {
    if (systemCode(error) === undefined) throw error
    return undefined
  }
}
