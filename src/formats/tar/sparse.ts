/**
 * Sparse maps: GNU's old format (header and extension blocks), and GNU.sparse 0.0, 0.1 and 1.0 in PAX headers (GNU tar manual,
 * "Storing Sparse Files"). All end as data runs, checked against the file's logical size and the bytes in the archive.
 */
import type { ByteString } from './byte-string.ts'
import { BLOCK_BYTES, HeaderError, number } from './header.ts'
import type { DataRun } from './layer-index.ts'
import { decimal } from './pax.ts'

/** Offset and length pairs, flat. */
export type SparseMap = number[]

/** The four pairs of an old GNU header (offset 386), or the 21 of an extension block (offset 0). Stops at an empty pair. */
export function oldGnuPairs(block: Buffer, at: number, count: number, into: SparseMap): void {
  for (let index = 0; index < count; index += 1) {
    const from = at + 24 * index
    if (block[from] === 0) return
    into.push(number(block, from, 12, 'sparse offset'), number(block, from + 12, 12, 'sparse length'))
  }
}

/** GNU.sparse.map of 0.1, or the gathered pairs of 0.0. @throws {HeaderError} */
export function paxPairs(values: readonly ByteString[]): SparseMap {
  if (values.length % 2 !== 0) throw new HeaderError('a sparse map with an offset without length')
  return values.map((value) => decimal(value, 'sparse map'))
}

/**
 * Reads the map of GNU.sparse 1.0 out of the file's first blocks as they come: a count, then that many pairs, each number a
 * line of decimal digits, padded to a block.
 */
export function createMapReader(maxBytes: number) {
  let digits = ''
  let count: number | undefined
  let bytesRead = 0
  const map: SparseMap = []
  return {
    /** Takes one block. @returns the map once it is complete  @throws {HeaderError} when it is none or too long */
    block(block: Buffer): SparseMap | undefined {
      bytesRead += block.length
      if (bytesRead > maxBytes) throw new HeaderError(`a sparse map of more than ${maxBytes} bytes`)
      for (const byte of block) {
        if (byte !== 0x0a) {
          if (digits.length > 40) throw new HeaderError('a sparse map with an endless number')
          digits += String.fromCharCode(byte)
          continue
        }
        const value = decimal(digits, 'sparse map')
        digits = ''
        if (count === undefined) count = value
        else map.push(value)
        if (count * 2 === map.length) return map
      }
      return undefined
    },
    get bytesRead(): number {
      return bytesRead
    },
  }
}

/**
 * The map as data runs.
 * @param offset where the packed data begins in the blob  @param packedBytes how many bytes of it there are
 * @throws {HeaderError} when the runs are out of order, overlap, pass the logical size, or are not as long as the data
 */
export function sparseRuns(map: SparseMap, size: number, offset: number, packedBytes: number): DataRun[] {
  const runs: DataRun[] = []
  let end = 0
  let packed = 0
  for (let index = 0; index < map.length; index += 2) {
    const at = map[index]!
    const length = map[index + 1]!
    if (at < end || length < 0 || at + length > size)
      throw new HeaderError('a sparse map out of order or beyond the size')
    end = at + length
    if (length > 0) append(runs, { at, offset: offset + packed, length })
    packed += length
  }
  if (packed !== packedBytes) throw new HeaderError(`a sparse map of ${packed} bytes over ${packedBytes} bytes of data`)
  return runs
}

/** The map of GNU.sparse 1.0, padded to blocks. A file that ends with a hole ends with an empty piece, as GNU tar writes it. */
export function sparseMapOf(runs: readonly DataRun[], size: number): Buffer {
  const last = runs.at(-1)
  const isHoleLast = last === undefined || last.at + last.length < size
  const pairs = runs.map(({ at, length }) => `${at}\n${length}\n`).join('') + (isHoleLast ? `${size}\n0\n` : '')
  const text = `${runs.length + (isHoleLast ? 1 : 0)}\n${pairs}`
  const map = Buffer.alloc(Math.ceil(text.length / BLOCK_BYTES) * BLOCK_BYTES)
  map.write(text, 'latin1')
  return map
}

function append(runs: DataRun[], run: DataRun): void {
  const last = runs.at(-1)
  if (last && last.at + last.length === run.at) runs[runs.length - 1] = { ...last, length: last.length + run.length }
  else runs.push(run)
}
