/**
 * Reads a stored layer whole and holds it against its diff id; reads its index again from it and holds that against the stored
 * one. Runs in a worker thread with blocking reads, no faster than it is told to.
 */
import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { systemCode, WireError } from '../../base/errors.ts'
import { digestParts, type Digest } from '../../formats/oci/digest.ts'
import { serializeLayerIndex } from '../../formats/tar/index-codec.ts'
import { createTarIndexer, type TarIndexer } from '../../formats/tar/indexer.ts'
import type { TarLimits } from '../../formats/tar/limits.ts'
import type { ByteRange } from '../../services/store/ports.ts'
import { writeSynced } from './ingest.ts'

/** Plain data, so that it can be handed to a thread. */
export interface CheckJob {
  readonly diffId: Digest
  readonly blobPath: string
  readonly indexPath: string
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
}

const PIECE_BYTES = 1 << 20

/** @param onBytes how many have been read so far  @returns undefined where there is no such layer any more */
export async function checkLayer(job: CheckJob, onBytes: (bytes: number) => void): Promise<LayerVerdict | undefined> {
  const file = openIfThere(job.blobPath)
  if (file === undefined) return undefined
  try {
    const { ino, size } = fstatSync(file)
    const read = await readWhole(job, file, size, onBytes)
    const verdict = { inode: ino, sizeBytes: size }
    if (read.rot !== undefined) return { ...verdict, rot: read.rot, index: 'unknown' }
    return { ...verdict, rot: undefined, index: judgeIndex(job, read.index) }
  } finally {
    closeSync(file)
  }
}

interface WholeRead {
  readonly rot: LayerVerdict['rot']
  /** As it should be; undefined where the layer is none that could be indexed. */
  readonly index: Uint8Array | undefined
}

async function readWhole(
  job: CheckJob,
  file: number,
  sizeBytes: number,
  onBytes: (bytes: number) => void,
): Promise<WholeRead> {
  const { algorithm, hex } = digestParts(job.diffId)
  const hash = createHash(algorithm)
  let indexer: TarIndexer | undefined = createTarIndexer(job.tar)
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
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      indexer = undefined
    }
    at += got
    onBytes(at)
    if (job.bytesPerSecond !== undefined) await pace(startedMs, at, job.bytesPerSecond)
  }
  if (unreadable.length > 0)
    return { rot: { why: `the disk does not give its bytes (${reason})`, ranges: unreadable }, index: undefined }
  const actual = hash.digest('hex')
  if (actual !== hex) return { rot: { why: `its digest is ${algorithm}:${actual}`, ranges: [] }, index: undefined }
  return { rot: undefined, index: indexer && indexOf(indexer) }
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
