/**
 * The digests of a device's data blocks. Those of file data are known since the layer came in; what was made for the device is
 * hashed; only blocks that are made of pieces of layers are read.
 */
import { LITERALS, rowAt, type ExtentMap } from '../extent-map.ts'
import { BLOCK_BYTES, DIGEST_BYTES, digestInto } from './block.ts'
import { runAt, type LeafTable } from './leaves.ts'
import { DigestPlaces, type HashLevel } from './levels.ts'

/** Reads bytes `from` (inclusive) to `to` (exclusive) of the device. */
export type ReadDevice = (from: number, to: number) => Promise<Uint8Array>

/** Most that is read at once: 1 MiB. */
const READ_BLOCKS = 256

/** The ranges of blocks that the rows of a device lie in, ascending. */
export function* touchedBlocks({ starts, lengths }: ExtentMap): Generator<readonly [from: number, to: number]> {
  for (let row = 0; row < starts.length; row += 1)
    yield [Math.floor(starts[row]! / BLOCK_BYTES), Math.ceil((starts[row]! + lengths[row]!) / BLOCK_BYTES)]
}

/**
 * Writes the digests of all blocks that rows touch to their places in `level`, the one of the leaves.
 * @param tables the leaves of the map's blobs, in their order
 */
export async function digestData(
  map: ExtentMap,
  tables: readonly LeafTable[],
  level: HashLevel,
  bytes: Buffer,
  read: ReadDevice,
): Promise<void> {
  const odd = new DataDigester(map, tables, level, bytes).digestRows()
  const places = new DigestPlaces(level)
  for (const [from, to] of odd)
    for (let start = from; start < to; start += READ_BLOCKS) {
      const end = Math.min(start + READ_BLOCKS, to)
      const whole = await read(start * BLOCK_BYTES, end * BLOCK_BYTES)
      if (whole.length !== (end - start) * BLOCK_BYTES)
        throw new RangeError(`${whole.length} bytes of blocks ${start} to ${end}`)
      for (let block = start; block < end; block += 1) {
        const at = (block - start) * BLOCK_BYTES
        digestInto(whole.subarray(at, at + BLOCK_BYTES), bytes, places.of(block))
      }
    }
}

class DataDigester {
  readonly #map: ExtentMap
  readonly #tables: readonly LeafTable[]
  readonly #bytes: Buffer
  readonly #places: DigestPlaces
  readonly #block = Buffer.alloc(BLOCK_BYTES)
  /** Blocks that must be read, in ascending order. */
  readonly #odd: [from: number, to: number][] = []

  constructor(map: ExtentMap, tables: readonly LeafTable[], level: HashLevel, bytes: Buffer) {
    this.#map = map
    this.#tables = tables
    this.#bytes = bytes
    this.#places = new DigestPlaces(level)
  }

  /** @returns what could not be done: the blocks that must be read */
  digestRows(): readonly (readonly [from: number, to: number])[] {
    const { starts, lengths } = this.#map
    let next = 0
    for (let row = 0; row < starts.length; row += 1) {
      const from = Math.max(Math.floor(starts[row]! / BLOCK_BYTES), next)
      const to = Math.ceil((starts[row]! + lengths[row]!) / BLOCK_BYTES)
      if (from >= to) continue
      const isLastShared = row + 1 < starts.length && starts[row + 1]! < to * BLOCK_BYTES
      this.#ownBlocks(row, from, isLastShared ? to - 1 : to)
      if (isLastShared) this.#sharedBlock(to - 1)
      next = to
    }
    return this.#odd
  }

  /** Blocks that one row alone lies in. */
  #ownBlocks(row: number, from: number, to: number): void {
    if (this.#map.sources[row] === LITERALS)
      for (let block = from; block < to; block += 1) this.#literalBlock(row, block)
    else {
      const known = from < to ? this.#knownBlocks(row, from, to) : 0
      this.#isOdd(from + known, to)
    }
  }

  /** Takes the digests from the layer's table. @returns how many blocks, counted from the first, it knows */
  #knownBlocks(row: number, from: number, to: number): number {
    const { starts, lengths, sources, offsets } = this.#map
    const start = starts[row]!
    const length = lengths[row]!
    const offset = offsets[row]!
    const table = this.#tables[sources[row]! - 1]!
    const run = runAt(table, offset)
    if (run < 0 || start % BLOCK_BYTES !== 0) return 0
    const skipped = offset - table.offsets[run]!
    const left = table.lengths[run]! - skipped
    if (skipped % BLOCK_BYTES !== 0 || length > left) return 0
    // Where the row ends before its run does, its last block is filled up with zeros and the run's is not.
    const isCut = length < left && length % BLOCK_BYTES !== 0
    const known = Math.min(to, Math.floor((start + length + (isCut ? 0 : BLOCK_BYTES - 1)) / BLOCK_BYTES)) - from
    const first = table.firsts[run]! + skipped / BLOCK_BYTES
    this.#bytes.set(table.digests.subarray(first * DIGEST_BYTES, (first + known) * DIGEST_BYTES), this.#places.of(from))
    return known
  }

  #literalBlock(row: number, block: number): void {
    const { starts, lengths, offsets, literals } = this.#map
    const start = block * BLOCK_BYTES - starts[row]!
    const whole = start >= 0 && start + BLOCK_BYTES <= lengths[row]!
    const at = offsets[row]! + start
    digestInto(
      whole ? literals.subarray(at, at + BLOCK_BYTES) : this.#compose(block),
      this.#bytes,
      this.#places.of(block),
    )
  }

  /** A block that several rows lie in. */
  #sharedBlock(block: number): void {
    const { starts, sources } = this.#map
    const end = (block + 1) * BLOCK_BYTES
    for (let row = rowAt(this.#map, block * BLOCK_BYTES); row < starts.length && starts[row]! < end; row += 1)
      if (sources[row] !== LITERALS) return this.#isOdd(block, block + 1)
    digestInto(this.#compose(block), this.#bytes, this.#places.of(block))
  }

  /** The bytes of a block that only literals lie in. */
  #compose(block: number): Buffer {
    const { starts, lengths, offsets, literals } = this.#map
    const [from, to] = [block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES]
    this.#block.fill(0)
    for (let row = rowAt(this.#map, from); row < starts.length && starts[row]! < to; row += 1) {
      const begin = Math.max(starts[row]!, from)
      const end = Math.min(starts[row]! + lengths[row]!, to)
      const offset = offsets[row]! - starts[row]!
      this.#block.set(literals.subarray(offset + begin, offset + end), begin - from)
    }
    return this.#block
  }

  #isOdd(from: number, to: number): void {
    if (from >= to) return
    const last = this.#odd.at(-1)
    if (last?.[1] === from) last[1] = to
    else this.#odd.push([from, to])
  }
}
