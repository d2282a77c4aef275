/**
 * The levels of a hash tree over blocks of which most may be zero (Linux, admin-guide/device-mapper/verity, "Theory of
 * operation"). A block of hashes under which all is zero is the same wherever it stands: it is neither kept nor hashed again.
 */
import { AppError } from '../../base/errors.ts'
import { BLOCK_BYTES, DIGEST_BYTES, FANOUT, digestInto, digestOf } from './block.ts'

/** Blocks `from` (inclusive) to `to` (exclusive) of a level; `at` is the place of their bytes. */
export interface BlockRange {
  from: number
  to: number
  at: number
}

/** One level of hashes. What none of its `ranges` covers are blocks of `zeroDigest` again and again. */
export interface HashLevel {
  /** How many digests it holds: blocks of the level below, or of the data. */
  readonly digests: number
  readonly blocks: number
  /** Ascending, apart from each other. */
  readonly ranges: readonly BlockRange[]
  /** Digest of a block below under which all is zero. */
  readonly zeroDigest: Buffer
}

/** Blocks that are kept: 1 GiB, a device of 128 GiB in which nothing is zero. */
const MAX_KEPT_BLOCKS = 2 ** 18

/** How many blocks each level has, that of the leaves first; none over a single block, whose digest is the root. */
export function levelBlocks(dataBlocks: number): number[] {
  const levels: number[] = []
  for (let below = dataBlocks; below > 1; below = levels.at(-1)!) levels.push(Math.ceil(below / FANOUT))
  return levels
}

/**
 * The levels over `dataBlocks`, leaves first, of which those in `touched` may be other than zero; one level of one block over a
 * single block. `at` is given to ranges from 0 on, level by level.
 * @param touched ranges of data blocks, ascending; they may overlap
 * @throws {AppError} unsupported, where the hashes take more than 1 GiB
 */
export function planLevels(dataBlocks: number, touched: Iterable<readonly [from: number, to: number]>): HashLevel[] {
  const levels: HashLevel[] = []
  let zeroDigest = digestOf(Buffer.alloc(BLOCK_BYTES))
  let kept = 0
  let below: Iterable<readonly [from: number, to: number]> = touched
  for (let digests = dataBlocks; levels.length === 0 || digests > 1; digests = levels.at(-1)!.blocks) {
    const blocks = Math.ceil(digests / FANOUT)
    const ranges: BlockRange[] = []
    const keep = (from: number, to: number): void => {
      const last = ranges.at(-1)
      const start = Math.max(from, last?.to ?? 0)
      if (start >= to) return
      kept += to - start
      if (kept > MAX_KEPT_BLOCKS)
        throw new AppError(
          'unsupported',
          `Cannot make a hash tree over ${dataBlocks * BLOCK_BYTES} bytes: its hashes take more than ${(MAX_KEPT_BLOCKS * BLOCK_BYTES) / 1024 ** 3} GiB`,
        )
      if (last?.to === start) last.to = to
      else ranges.push({ from: start, to, at: (kept - (to - start)) * BLOCK_BYTES })
    }
    for (const [from, to] of below) keep(Math.floor(from / FANOUT), Math.ceil(to / FANOUT))
    // The last block is filled up with zeros, not with digests.
    if (digests % FANOUT !== 0) keep(blocks - 1, blocks)
    levels.push({ digests, blocks, ranges, zeroDigest })
    below = ranges.map(({ from, to }) => [from, to] as const)
    zeroDigest = digestOf(zeroBlockOf(levels.at(-1)!))
  }
  return levels
}

/** Bytes that the ranges of all levels take. */
export function keptBytes(levels: readonly HashLevel[]): number {
  let blocks = 0
  for (const { ranges } of levels) for (const { from, to } of ranges) blocks += to - from
  return blocks * BLOCK_BYTES
}

/** A block of the level under which all is zero. */
export function zeroBlockOf({ zeroDigest }: HashLevel): Buffer {
  return Buffer.alloc(BLOCK_BYTES, zeroDigest)
}

/** Lays every range out as if all below it were zero. */
export function fillLevels(levels: readonly HashLevel[], bytes: Buffer): void {
  for (const { digests, ranges, zeroDigest } of levels)
    for (const { from, to, at } of ranges) {
      const end = at + (to - from) * BLOCK_BYTES
      const filled = Math.min(at + (digests - from * FANOUT) * DIGEST_BYTES, end)
      bytes.fill(zeroDigest, at, filled).fill(0, filled, end)
    }
}

/** Hashes the blocks of each level into the level above. @returns the root hash: the digest of the one block on top */
export function hashLevels(levels: readonly HashLevel[], bytes: Buffer): Buffer {
  for (const [number, above] of levels.slice(1).entries()) {
    const level = levels[number]!
    const zero = zeroBlockOf(level)
    const place = new DigestPlaces(above)
    for (const { from, to, at } of level.ranges)
      for (let block = from; block < to; block += 1) {
        const start = at + (block - from) * BLOCK_BYTES
        // What is zero is there already.
        if (zero.compare(bytes, start, start + BLOCK_BYTES) !== 0)
          digestInto(bytes.subarray(start, start + BLOCK_BYTES), bytes, place.of(block))
      }
  }
  const top = levels.at(-1)!
  const [range] = top.ranges
  return digestOf(range === undefined ? zeroBlockOf(top) : bytes.subarray(range.at, range.at + BLOCK_BYTES))
}

/** Finds the places of digests, asked for in ascending order. */
export class DigestPlaces {
  readonly #ranges: readonly BlockRange[]
  #range = 0

  constructor({ ranges }: HashLevel) {
    this.#ranges = ranges
  }

  /** Where the digest of block `below` lies; those of the blocks behind it follow while they are in the same range. */
  of(below: number): number {
    const block = Math.floor(below / FANOUT)
    while (this.#ranges[this.#range]!.to <= block) this.#range += 1
    const { from, at } = this.#ranges[this.#range]!
    return at + (below - from * FANOUT) * DIGEST_BYTES
  }
}
