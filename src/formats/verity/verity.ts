/**
 * Appends a dm-verity hash tree to a device that is a virtual file, as `veritysetup format` would, without a pass over its
 * bytes: superblock in a block of its own, then the levels of hashes, the top first.
 */
import { toHex } from '../../base/bytes.ts'
import { LITERALS, type ExtentMap } from '../extent-map.ts'
import { BLOCK_BYTES, DIGEST_BYTES } from './block.ts'
import { digestData, touchedBlocks, type ReadDevice } from './data.ts'
import type { LeafTable } from './leaves.ts'
import { fillLevels, hashLevels, keptBytes, levelBlocks, planLevels, zeroBlockOf, type HashLevel } from './levels.ts'
import { serializeVeritySuperblock } from './superblock.ts'

export interface VerityDevice {
  /** The data, then the superblock and the hashes. */
  readonly map: ExtentMap
  /** 64 hexadecimal digits. */
  readonly rootHash: string
  readonly dataBlocks: number
  /** The block in which the hashes begin: `--hash-offset` of veritysetup is one block before it. */
  readonly hashStartBlock: number
}

/** Blocks of hashes of nothing but zeros that are kept once and pointed to by all rows: 1 MiB. */
const POOL_BLOCKS = 256

/**
 * The same device always gets the same root hash and superblock: there is no salt, and the UUID is of the root hash.
 * @param image whole blocks of 4096 bytes, at least one
 * @param leavesOf the leaves of a blob that the image points into
 * @param read bytes of the image: asked only for blocks in which pieces of layers lie that are not file data from its begin
 * @throws {AppError} unsupported, where the hashes take more than 1 GiB; what `leavesOf` and `read` throw
 */
export async function addVerity(
  image: ExtentMap,
  leavesOf: (blob: string) => LeafTable,
  read: ReadDevice,
): Promise<VerityDevice> {
  const dataBlocks = image.sizeBytes / BLOCK_BYTES
  if (!Number.isSafeInteger(dataBlocks) || dataBlocks === 0) throw new RangeError(`an image of ${dataBlocks} blocks`)
  const levels = planLevels(dataBlocks, touchedBlocks(image))
  const pools = levels.map((level) => poolBlocks(level))
  const hashBytes = keptBytes(levels)

  // Literals of the image, the superblock, all hashes level by level, the pools.
  const superblockAt = image.literalBytes
  const hashesAt = superblockAt + BLOCK_BYTES
  const poolsAt = hashesAt + hashBytes
  const literals = Buffer.alloc(poolsAt + pools.reduce((sum, blocks) => sum + blocks, 0) * BLOCK_BYTES)
  literals.set(image.literals)
  const hashes = literals.subarray(hashesAt, poolsAt)
  fillLevels(levels, hashes)
  await digestData(image, image.blobs.map(leavesOf), levels[0]!, hashes, read)
  // Of a single block the digest is the root hash itself: there are no hashes to store.
  const stored = levels.slice(0, levelBlocks(dataBlocks).length)
  const root = stored.length === 0 ? hashes.subarray(0, DIGEST_BYTES) : hashLevels(stored, hashes)
  literals.set(serializeVeritySuperblock({ uuid: uuidOf(root), dataBlocks }), superblockAt)

  const rows = new LiteralRows(dataBlocks, literals)
  rows.add(superblockAt, 1)
  let poolAt = poolsAt + pools.reduce((sum, blocks) => sum + blocks, 0) * BLOCK_BYTES
  for (const [number, level] of [...stored.entries()].reverse()) {
    const blocks = pools[number]!
    poolAt -= blocks * BLOCK_BYTES
    literals.fill(zeroBlockOf(level), poolAt, poolAt + blocks * BLOCK_BYTES)
    let next = 0
    for (const { from, to, at } of level.ranges) {
      rows.repeat(poolAt, blocks, from - next)
      rows.add(hashesAt + at, to - from)
      next = to
    }
    rows.repeat(poolAt, blocks, level.blocks - next)
  }
  return { map: rows.behind(image), rootHash: toHex(root), dataBlocks, hashStartBlock: dataBlocks + 1 }
}

/** How many blocks of zero digests are kept for the gaps of a level. */
function poolBlocks({ blocks, ranges }: HashLevel): number {
  let longest = 0
  let next = 0
  for (const { from, to } of [...ranges, { from: blocks, to: blocks }]) {
    longest = Math.max(longest, from - next)
    next = to
  }
  return Math.min(longest, POOL_BLOCKS)
}

/** Version 8 of RFC 9562: bits of our own choice, those of the root hash. */
function uuidOf(root: Uint8Array): Uint8Array {
  const uuid = Uint8Array.from(root.subarray(0, 16))
  uuid[6] = (uuid[6]! & 0x0f) | 0x80
  uuid[8] = (uuid[8]! & 0x3f) | 0x80
  return uuid
}

/** Rows of literal bytes, one behind the other. */
class LiteralRows {
  readonly #literals: Buffer
  readonly #starts: number[] = []
  readonly #lengths: number[] = []
  readonly #offsets: number[] = []
  #block: number

  constructor(block: number, literals: Buffer) {
    this.#block = block
    this.#literals = literals
  }

  add(offset: number, blocks: number): void {
    const last = this.#offsets.length - 1
    if (last >= 0 && this.#offsets[last]! + this.#lengths[last]! === offset)
      this.#lengths[last]! += blocks * BLOCK_BYTES
    else {
      this.#starts.push(this.#block * BLOCK_BYTES)
      this.#lengths.push(blocks * BLOCK_BYTES)
      this.#offsets.push(offset)
    }
    this.#block += blocks
  }

  /** `count` blocks out of a pool of `blocks` equal ones. */
  repeat(pool: number, blocks: number, count: number): void {
    for (let left = count; left > 0; left -= blocks) this.add(pool, Math.min(blocks, left))
  }

  /** The image with these rows behind it. */
  behind({ blobs, starts, lengths, sources, offsets }: ExtentMap): ExtentMap {
    return {
      sizeBytes: this.#block * BLOCK_BYTES,
      blobs,
      starts: joined(starts, this.#starts),
      lengths: joined(lengths, this.#lengths),
      offsets: joined(offsets, this.#offsets),
      sources: withLiterals(sources, this.#starts.length),
      literalBytes: this.#literals.length,
      literals: this.#literals,
    }
  }
}

function joined(column: Float64Array, more: readonly number[]): Float64Array {
  const whole = new Float64Array(column.length + more.length)
  whole.set(column)
  whole.set(more, column.length)
  return whole
}

/** The sources of rows, and those of rows of literals behind them. */
function withLiterals(sources: Uint32Array, more: number): Uint32Array {
  const whole = new Uint32Array(sources.length + more).fill(LITERALS)
  whole.set(sources)
  return whole
}
