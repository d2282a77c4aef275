/** Which blocks of a device a boot has read, in order: what the next boot of the same device fetches ahead. Pure. */
import { WireError } from '../../base/errors.ts'

/** `count` blocks of 4096 bytes from `start` on. */
export interface BlockRange {
  readonly start: number
  readonly count: number
}

export interface Profile {
  readonly rootHash: string
  /** In the order in which they were first read; no block twice. */
  readonly ranges: readonly BlockRange[]
  /** When the boot that it was taken from was over. Milliseconds since the epoch. */
  readonly recordedAtMs: number
}

/** More ranges than this are no boot but a search of the whole disk. */
export const MAX_RANGES = 65_536
/** Ranges that lie no further apart become one: a block too many costs less than a request more. Blocks. */
const GAP_BLOCKS = 16

export function blocksOf(ranges: readonly BlockRange[]): number {
  return ranges.reduce((sum, { count }) => sum + count, 0)
}

/**
 * Joins ranges that were read one after the other and lie close together, whichever came first. The order of first use stays.
 * @param deviceBlocks size of the device: what lies beyond is dropped
 */
export function tidyRanges(ranges: readonly BlockRange[], deviceBlocks: number): BlockRange[] {
  const tidy: { start: number; count: number }[] = []
  for (const range of ranges) {
    const end = Math.min(range.start + range.count, deviceBlocks)
    if (range.start >= end) continue
    const last = tidy.at(-1)
    const isNear =
      last !== undefined && range.start <= last.start + last.count + GAP_BLOCKS && end + GAP_BLOCKS >= last.start
    if (!isNear) {
      tidy.push({ start: range.start, count: end - range.start })
      continue
    }
    const start = Math.min(last.start, range.start)
    last.count = Math.max(last.start + last.count, end) - start
    last.start = start
  }
  return withoutRepeats(tidy).slice(0, MAX_RANGES)
}

/** `START COUNT`, one range a line: what guest/ reads. */
export function renderRanges(ranges: readonly BlockRange[]): string {
  return ranges.map(({ start, count }) => `${start} ${count}\n`).join('')
}

/** @throws {WireError} when it is no list of ranges */
export function parseRanges(text: string): BlockRange[] {
  const lines = text.split('\n').filter((line) => line !== '')
  if (lines.length > MAX_RANGES) throw new WireError('boot profile', `${lines.length} ranges, at most ${MAX_RANGES}`)
  return lines.map((line) => {
    const match = /^(\d{1,10}) ([1-9]\d{0,9})$/.exec(line)
    if (!match) throw new WireError('boot profile', `"${line.slice(0, 40)}" is no range of blocks`)
    return { start: Number(match[1]), count: Number(match[2]) }
  })
}

/** What was joined may cover what came before: each block is kept where it comes first. */
function withoutRepeats(ranges: readonly BlockRange[]): BlockRange[] {
  const seen: BlockRange[] = []
  const kept: BlockRange[] = []
  for (const range of ranges)
    for (const piece of less(range, seen)) {
      kept.push(piece)
      insert(seen, piece)
    }
  return kept
}

/** The parts of a range that none of `sorted` covers. */
function less(range: BlockRange, sorted: readonly BlockRange[]): BlockRange[] {
  const left: BlockRange[] = []
  const end = range.start + range.count
  let at = range.start
  for (let index = firstBehind(sorted, range.start); index < sorted.length && at < end; index += 1) {
    const other = sorted[index]!
    if (other.start >= end) break
    if (other.start > at) left.push({ start: at, count: other.start - at })
    at = Math.max(at, other.start + other.count)
  }
  if (at < end) left.push({ start: at, count: end - at })
  return left
}

function insert(sorted: BlockRange[], range: BlockRange): void {
  sorted.splice(firstBehind(sorted, range.start), 0, range)
}

/** The first of `sorted` that ends behind `block`. */
function firstBehind(sorted: readonly BlockRange[], block: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]!.start + sorted[middle]!.count <= block) low = middle + 1
    else high = middle
  }
  return low
}
