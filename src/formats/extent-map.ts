/**
 * A virtual file in columns: what lies where, one row a piece, sorted, so that a reader finds any byte by bisection and a
 * million pieces cost a few tens of megabytes. It is what block devices (EROFS, dm-verity) are made of. Stored as a file it is
 * opened by threads that serve machines; literal bytes stay in the file and are read when a machine asks for them.
 */
import { crc32 } from 'node:zlib'
import { Reader, Writer } from '../base/bytes.ts'
import { WireError } from '../base/errors.ts'
import type { Extent } from './extents.ts'

/** The rows of a virtual file. What no row covers reads as zeros. */
export interface ExtentRows {
  /** Length of the virtual file in bytes. */
  readonly sizeBytes: number
  /** Digests of the blobs that rows point into. */
  readonly blobs: readonly string[]
  /** Where each row begins, ascending; rows do not overlap and are not empty. Bytes, whole numbers below 2^53. */
  readonly starts: Float64Array
  readonly lengths: Float64Array
  /** LITERALS, or 1 + the number of a blob in `blobs`. */
  readonly sources: Uint32Array
  /** Where the bytes of the row begin in its source. */
  readonly offsets: Float64Array
  /** How many literal bytes there are. */
  readonly literalBytes: number
}

/** Rows together with the literal bytes that they point into. */
export interface ExtentMap extends ExtentRows {
  readonly literals: Uint8Array
}

/** The source of rows whose bytes were made here. */
export const LITERALS = 0

/** The row that holds byte `at`, or else the first one behind it; `starts.length` when there is none. */
export function rowAt({ starts, lengths }: ExtentRows, at: number): number {
  let low = 0
  let high = starts.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (starts[middle]! + lengths[middle]! <= at) low = middle + 1
    else high = middle
  }
  return low
}

/** The pieces of bytes `from` (inclusive) to `to` (exclusive) as extents, zeros between rows included. */
export function* extentsOf(map: ExtentMap, from = 0, to = map.sizeBytes): Generator<Extent> {
  const { starts, lengths, sources, offsets, blobs, literals } = map
  let at = from
  for (let row = rowAt(map, from); at < to; row += 1) {
    const start = row < starts.length ? Math.min(starts[row]!, to) : to
    if (start > at) yield { kind: 'zeros', length: start - at }
    at = Math.max(at, start)
    if (at >= to) return
    const skipped = at - starts[row]!
    const length = Math.min(lengths[row]! - skipped, to - at)
    const offset = offsets[row]! + skipped
    const source = sources[row]!
    if (source === LITERALS) yield { kind: 'bytes', bytes: literals.subarray(offset, offset + length) }
    else yield { kind: 'blob', blob: blobs[source - 1]!, offset, length }
    at += length
  }
}

/** Collects rows in ascending order. Rows that go on where the last one ended become one. */
export class ExtentMapBuilder {
  readonly #blobs = new Map<string, number>()
  #count = 0
  #starts = new Float64Array(1024)
  #lengths = new Float64Array(1024)
  #sources = new Uint32Array(1024)
  #offsets = new Float64Array(1024)
  #literals = Buffer.alloc(0)
  #literalBytes = 0
  #end = 0

  /** @param literalBytes how many literal bytes to make room for at once */
  constructor(literalBytes = 0) {
    this.#literals = Buffer.allocUnsafeSlow(literalBytes)
  }

  /** `length` bytes at `start`, from `offset` of a blob. They are not joined with the row before: see the class. */
  blob(start: number, blob: string, offset: number, length: number): this {
    let source = this.#blobs.get(blob)
    if (source === undefined) this.#blobs.set(blob, (source = this.#blobs.size + 1))
    return this.#row(start, length, source, offset)
  }

  /** Literal bytes at `start`; they are copied. */
  literal(start: number, bytes: Uint8Array): this {
    this.literalRoom(start, bytes.length).set(bytes)
    return this
  }

  /** `length` literal bytes at `start`, zeros that the caller fills in: good until literal bytes are added again. */
  literalRoom(start: number, length: number): Buffer {
    const offset = this.#literalBytes
    const need = offset + length
    if (need > this.#literals.length) {
      const bigger = Buffer.allocUnsafeSlow(Math.max(need, this.#literals.length * 2))
      this.#literals.copy(bigger, 0, 0, offset)
      this.#literals = bigger
    }
    this.#literalBytes = need
    this.#row(start, length, LITERALS, offset)
    return this.#literals.subarray(offset, need).fill(0)
  }

  /** @param sizeBytes length of the virtual file, not less than the end of the last row */
  done(sizeBytes: number): ExtentMap {
    if (sizeBytes < this.#end) throw new RangeError(`a size of ${sizeBytes} bytes, rows end at ${this.#end}`)
    return {
      sizeBytes,
      blobs: [...this.#blobs.keys()],
      starts: this.#starts.slice(0, this.#count),
      lengths: this.#lengths.slice(0, this.#count),
      sources: this.#sources.slice(0, this.#count),
      offsets: this.#offsets.slice(0, this.#count),
      literalBytes: this.#literalBytes,
      literals: this.#literals.subarray(0, this.#literalBytes),
    }
  }

  #row(start: number, length: number, source: number, offset: number): this {
    if (length === 0) return this
    if (start < this.#end) throw new RangeError(`a row at ${start}, the last one ends at ${this.#end}`)
    const last = this.#count - 1
    this.#end = start + length
    // Literal bytes only: a blob's rows stay as they are given, since what is known of a run of data is known by its begin.
    if (source === LITERALS && last >= 0 && this.#sources[last] === LITERALS) {
      const goesOn = this.#starts[last]! + this.#lengths[last]! === start
      if (goesOn && this.#offsets[last]! + this.#lengths[last]! === offset) {
        this.#lengths[last]! += length
        return this
      }
    }
    if (this.#count === this.#starts.length) this.#grow()
    this.#starts[this.#count] = start
    this.#lengths[this.#count] = length
    this.#sources[this.#count] = source
    this.#offsets[this.#count] = offset
    this.#count += 1
    return this
  }

  #grow(): void {
    const length = this.#count * 2
    const wider = <T extends Float64Array | Uint32Array>(from: T, into: T): T => (into.set(from), into)
    this.#starts = wider(this.#starts, new Float64Array(length))
    this.#lengths = wider(this.#lengths, new Float64Array(length))
    this.#sources = wider(this.#sources, new Uint32Array(length))
    this.#offsets = wider(this.#offsets, new Float64Array(length))
  }
}

const WHAT = 'extent map'
const MAGIC = 'bbextmap'
const VERSION = 1
const HEAD_BYTES = 64
const CHECKSUM_AT = 48
/** Literal bytes begin on a block of the file system, so that reads of blocks are reads of blocks. */
const LITERALS_ALIGNMENT = 4096
export const EXTENT_MAP_LIMITS = { blobs: 4096, digestBytes: 160, rows: 2 ** 25, literalBytes: 2 ** 33 } as const

/** Where the rows end and the literal bytes begin in a stored map. */
export interface StoredRows extends ExtentRows {
  /** Offset in the file of the first literal byte. */
  readonly literalsAt: number
}

/** The head and columns of a stored map; the literal bytes follow at once. Little-endian, as every processor that we run on. */
export function serializeExtentRows(map: ExtentMap): Uint8Array {
  const names = new Writer()
  for (const blob of map.blobs) names.u16le(blob.length).utf8(blob)
  const nameBytes = names.done()
  const columnsAt = align(HEAD_BYTES + nameBytes.length, 8)
  const rows = map.starts.length
  const bytes = new Uint8Array(align(columnsAt + rows * 28, LITERALS_ALIGNMENT))
  bytes.set(nameBytes, HEAD_BYTES)
  const columns = columnsOf(bytes.buffer, columnsAt, rows)
  columns.starts.set(map.starts)
  columns.lengths.set(map.lengths)
  columns.offsets.set(map.offsets)
  columns.sources.set(map.sources)
  const head = new Writer()
    .utf8(MAGIC)
    .u32le(VERSION)
    .u32le(map.blobs.length)
    .u64le(BigInt(rows))
    .u64le(BigInt(map.sizeBytes))
    .u64le(BigInt(map.literalBytes))
    .u64le(BigInt(bytes.length))
  bytes.set(head.done())
  bytes.set(new Writer().u32le(checksumOf(bytes)).done(), CHECKSUM_AT)
  return bytes
}

/**
 * How many bytes of a stored map its head and columns take.
 * @param head the first 64 bytes of the file
 * @throws {WireError} when it is none, of another version, or beyond EXTENT_MAP_LIMITS
 */
export function storedRowsBytes(head: Uint8Array): number {
  return parseHead(head).literalsAt
}

/** @throws {WireError} when it is damaged, or says what cannot be */
export function parseExtentRows(bytes: Uint8Array): StoredRows {
  const { blobCount, rows, sizeBytes, literalBytes, literalsAt, crc } = parseHead(bytes)
  if (bytes.length < literalsAt) throw new WireError(WHAT, `it is cut short: ${bytes.length} bytes of ${literalsAt}`)
  if (checksumOf(bytes.subarray(0, literalsAt)) !== crc) throw new WireError(WHAT, 'its checksum does not match')
  const reader = new Reader(bytes.subarray(HEAD_BYTES, literalsAt), WHAT)
  const blobs: string[] = []
  for (let left = blobCount; left > 0; left -= 1) {
    const length = reader.u16le('digest length')
    if (length > EXTENT_MAP_LIMITS.digestBytes) throw new WireError(WHAT, `a digest of ${length} bytes`)
    blobs.push(reader.latin1(length, 'digest'))
  }
  const columnsAt = align(HEAD_BYTES + reader.at, 8)
  if (columnsAt + rows * 28 > literalsAt) throw new WireError(WHAT, `${rows} rows do not fit before byte ${literalsAt}`)
  // A copy begins on a boundary of eight bytes, as columns of numbers must.
  const columns = columnsOf(Uint8Array.from(bytes.subarray(columnsAt, columnsAt + rows * 28)).buffer, 0, rows)
  checkRows({ sizeBytes, blobs, literalBytes, ...columns })
  return { sizeBytes, blobs, literalBytes, literalsAt, ...columns }
}

function checkRows({ sizeBytes, blobs, literalBytes, starts, lengths, sources, offsets }: ExtentRows): void {
  let end = 0
  for (let row = 0; row < starts.length; row += 1) {
    const [start, length, source, offset] = [starts[row]!, lengths[row]!, sources[row]!, offsets[row]!]
    if (![start, length, offset].every((value) => Number.isSafeInteger(value) && value >= 0))
      throw new WireError(WHAT, `row ${row} has a number that is none of bytes`)
    if (length === 0 || start < end || start + length > sizeBytes)
      throw new WireError(WHAT, `row ${row} is out of place`)
    if (source > blobs.length) throw new WireError(WHAT, `row ${row} is of blob ${source} of ${blobs.length}`)
    if (source === LITERALS && offset + length > literalBytes)
      throw new WireError(WHAT, `row ${row} is beyond the ${literalBytes} literal bytes`)
    end = start + length
  }
}

function parseHead(bytes: Uint8Array) {
  const reader = new Reader(bytes, WHAT)
  const magic = reader.latin1(MAGIC.length, 'magic')
  const version = reader.u32le('version')
  if (magic !== MAGIC || version !== VERSION) throw new WireError(WHAT, `it is none of version ${VERSION}`)
  const blobCount = bounded(reader.u32le('blobs'), EXTENT_MAP_LIMITS.blobs, 'blobs')
  const rows = bounded(Number(reader.u64le('rows')), EXTENT_MAP_LIMITS.rows, 'rows')
  const sizeBytes = bounded(Number(reader.u64le('size')), Number.MAX_SAFE_INTEGER, 'bytes')
  const literalBytes = bounded(Number(reader.u64le('literals')), EXTENT_MAP_LIMITS.literalBytes, 'literal bytes')
  const most = HEAD_BYTES + EXTENT_MAP_LIMITS.blobs * (2 + EXTENT_MAP_LIMITS.digestBytes) + rows * 28
  const literalsAt = bounded(Number(reader.u64le('head size')), align(most + 8, LITERALS_ALIGNMENT), 'bytes of head')
  if (literalsAt % LITERALS_ALIGNMENT !== 0 || literalsAt < HEAD_BYTES)
    throw new WireError(WHAT, `a head of ${literalsAt} bytes`)
  return { blobCount, rows, sizeBytes, literalBytes, literalsAt, crc: reader.u32le('checksum') }
}

/** Of the fields before it and of all that follows the head. */
function checksumOf(bytes: Uint8Array): number {
  return crc32(bytes.subarray(HEAD_BYTES), crc32(bytes.subarray(0, CHECKSUM_AT)))
}

function bounded(value: number, most: number, what: string): number {
  if (value > most) throw new WireError(WHAT, `${value} ${what}, at most ${most}`)
  return value
}

function columnsOf(buffer: ArrayBuffer, at: number, rows: number) {
  return {
    starts: new Float64Array(buffer, at, rows),
    lengths: new Float64Array(buffer, at + rows * 8, rows),
    offsets: new Float64Array(buffer, at + rows * 16, rows),
    sources: new Uint32Array(buffer, at + rows * 24, rows),
  }
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to
}
