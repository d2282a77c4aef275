/**
 * A boot profile in terms of files: what a machine reads ahead goes through its file system, so that it lies in the page cache once,
 * verified, where the workload looks for it. Pure.
 */
import { LITERALS, rowAt, type ExtentRows } from '../../formats/extent-map.ts'
import type { ByteString } from '../../formats/tar/byte-string.ts'
import type { Tree } from '../../formats/tree/tree.ts'
import type { BlockRange } from './profile.ts'

/** Blocks of 4096 bytes of a file, or of the device itself where there is no path: structures of the file system. */
export interface FileRange extends BlockRange {
  readonly path?: ByteString
}

const BLOCK_BYTES = 4096
/** A name that a line of text cannot hold: it is left out, and read when it is needed. */
const UNSPEAKABLE = /[\n\0]|^\s|\s$/

interface Run {
  readonly offset: number
  readonly length: number
  /** Where the run belongs in its file. */
  readonly at: number
  readonly path: ByteString
}

/**
 * @param ranges blocks of the device, in the order in which they were read first
 * @param rows of the device
 * @param dataBlocks how many blocks the file system has: hashes behind it come with what they are of
 */
export function fileRanges(
  ranges: readonly BlockRange[],
  rows: ExtentRows,
  tree: Tree,
  dataBlocks: number,
): FileRange[] {
  const runs = runsByBlob(tree)
  const found: { start: number; count: number; path?: ByteString }[] = []
  const add = (range: FileRange): void => {
    const last = found.at(-1)
    if (
      last !== undefined &&
      last.path === range.path &&
      range.start <= last.start + last.count &&
      range.start >= last.start
    )
      last.count = Math.max(last.count, range.start + range.count - last.start)
    else found.push({ ...range })
  }
  for (const { start, count } of ranges) {
    const end = Math.min(start + count, dataBlocks) * BLOCK_BYTES
    let at = start * BLOCK_BYTES
    for (let row = rowAt(rows, at); row < rows.starts.length && rows.starts[row]! < end; row += 1) {
      const from = Math.max(at, rows.starts[row]!)
      const to = Math.min(end, rows.starts[row]! + rows.lengths[row]!)
      const source = rows.sources[row]!
      if (source === LITERALS) add(blocks(from, to))
      else {
        const offset = rows.offsets[row]! + from - rows.starts[row]!
        const run = runAt(runs.get(rows.blobs[source - 1]!) ?? [], offset)
        if (run !== undefined && !UNSPEAKABLE.test(run.path)) {
          const position = run.at + offset - run.offset
          add({ ...blocks(position, position + to - from), path: run.path })
        }
      }
      at = to
    }
  }
  return found
}

/** `START COUNT PATH`, or `START COUNT`: what guest/lib/prefetch reads. Paths are bytes. */
export function renderFileRanges(ranges: readonly FileRange[]): Uint8Array {
  const lines = ranges.map(({ start, count, path }) => `${start} ${count}${path === undefined ? '' : ` ${path}`}\n`)
  return Buffer.from(lines.join(''), 'latin1')
}

function blocks(from: number, to: number): BlockRange {
  const start = Math.floor(from / BLOCK_BYTES)
  return { start, count: Math.ceil(to / BLOCK_BYTES) - start }
}

/** Every run of data of the tree's files, by the blob that it lies in, ascending. */
function runsByBlob(tree: Tree): ReadonlyMap<string, readonly Run[]> {
  const runs = new Map<string, Run[]>()
  let passed = 0
  for (const entry of tree.entries()) {
    // Inodes are numbered in this order: another name of one that was passed adds nothing.
    if (entry.kind !== 'file' || entry.inode <= passed) continue
    passed = entry.inode
    let list = runs.get(entry.blob)
    if (list === undefined) runs.set(entry.blob, (list = []))
    for (const { at, offset, length } of entry.data) list.push({ at, offset, length, path: entry.path })
  }
  for (const list of runs.values()) list.sort((a, b) => a.offset - b.offset)
  return runs
}

function runAt(runs: readonly Run[], offset: number): Run | undefined {
  let low = 0
  let high = runs.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (runs[middle]!.offset + runs[middle]!.length <= offset) low = middle + 1
    else high = middle
  }
  const run = runs[low]
  return run !== undefined && run.offset <= offset ? run : undefined
}
