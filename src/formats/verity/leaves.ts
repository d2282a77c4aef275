/**
 * The digests of a layer's file data, block by block, made once while the layer streams in. A file's data begins on a block of
 * every device that it is part of and no salt is used, so that these digests are the leaves of each hash tree over the file.
 *
 * The table is written as it is made, digests first, so that a layer of any size takes no memory for it:
 *
 *     head (64 bytes) | digests, 32 bytes each | offsets, 8 bytes a run | lengths, 8 bytes a run
 */
import { crc32 } from 'node:zlib'
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import { BLOCK_BYTES, DIGEST_BYTES, digestInto } from './block.ts'

/** The leaves of one layer: of each run of file data, in the order of the archive. */
export interface LeafTable {
  /** Length of the uncompressed layer blob. */
  readonly blobBytes: number
  /** Where each run begins in the layer blob, ascending; runs do not overlap and are not empty. */
  readonly offsets: Float64Array
  readonly lengths: Float64Array
  /** Number of each run's first digest; a run has one for each 4096 bytes from its begin, the last one zero-filled. */
  readonly firsts: Uint32Array
  readonly digests: Uint8Array
}

/** Above what the limits for layers allow: 1,500,000 runs, and 64 GiB of data in blocks, one more for each run. */
export const LEAF_LIMITS = { runs: 2 ** 21, digests: 2 ** 24 + 2 ** 21 } as const

const WHAT = 'leaf table'
const MAGIC = 'bbleaves'
const VERSION = 1
const HEAD_BYTES = 64
const CHECKSUM_AT = 32

/** The number of the run that byte `offset` of the layer belongs to; -1 where it belongs to none. */
export function runAt({ offsets, lengths }: LeafTable, offset: number): number {
  let low = 0
  let high = offsets.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (offsets[middle]! <= offset) low = middle + 1
    else high = middle
  }
  const run = low - 1
  return run >= 0 && offset < offsets[run]! + lengths[run]! ? run : -1
}

/** Takes `bytes` of a table that is being made, for `at` of its file; they are the taker's. */
export type LeafSink = (bytes: Uint8Array, at: number) => void

/** Digests written at once. */
const PIECE_BYTES = 2048 * DIGEST_BYTES

/** Makes the table of a layer while it streams by: told of runs before their bytes come, then fed with all bytes. */
export class LeafHasher {
  readonly #sink: LeafSink
  #offsets = new Float64Array(256)
  #lengths = new Float64Array(256)
  #runs = 0
  /** The run that bytes are awaited of, and its end. */
  #run = 0
  #position = 0
  readonly #block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  #held = 0
  #piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
  #filled = 0
  #written = HEAD_BYTES
  #checksum = 0

  constructor(sink: LeafSink) {
    this.#sink = sink
  }

  /** `length` bytes of file data will come at `offset` of the layer: not before what was announced already, nor what was fed. */
  run(offset: number, length: number): void {
    if (length === 0) return
    const last = this.#runs - 1
    const end = last < 0 ? 0 : this.#offsets[last]! + this.#lengths[last]!
    if (offset < Math.max(end, this.#position)) throw new RangeError(`a run at ${offset}, behind ${end}`)
    if (this.#runs === this.#offsets.length) {
      this.#offsets = twice(this.#offsets)
      this.#lengths = twice(this.#lengths)
    }
    this.#offsets[this.#runs] = offset
    this.#lengths[this.#runs] = length
    this.#runs += 1
  }

  /** The next bytes of the layer, cut anywhere. */
  push(bytes: Uint8Array): void {
    const begin = this.#position
    const end = begin + bytes.length
    for (; this.#run < this.#runs; this.#run += 1) {
      const offset = this.#offsets[this.#run]!
      if (offset >= end) break
      const runEnd = offset + this.#lengths[this.#run]!
      this.#take(bytes, Math.max(offset - begin, 0), Math.min(runEnd, end) - begin)
      if (runEnd > end) break
      this.#endRun()
    }
    this.#position = end
  }

  /** Writes what is left, the head last. @throws {RangeError} when bytes of a run are missing */
  end(): void {
    if (this.#run < this.#runs) throw new RangeError(`bytes of run ${this.#run} have not come`)
    const digests = (this.#written + this.#filled - HEAD_BYTES) / DIGEST_BYTES
    this.#write(this.#piece.subarray(0, this.#filled))
    for (const column of [this.#offsets, this.#lengths]) this.#write(new Uint8Array(column.buffer, 0, this.#runs * 8))
    this.#sink(headOf(this.#position, this.#runs, digests, this.#checksum), 0)
  }

  /** Bytes `from` to `to` go on with the current run. */
  #take(bytes: Uint8Array, from: number, to: number): void {
    let at = from
    if (this.#held > 0) {
      at = Math.min(from + BLOCK_BYTES - this.#held, to)
      this.#block.set(bytes.subarray(from, at), this.#held)
      this.#held += at - from
      if (this.#held < BLOCK_BYTES) return
      this.#digest(this.#block)
      this.#held = 0
    }
    for (; at + BLOCK_BYTES <= to; at += BLOCK_BYTES) this.#digest(bytes.subarray(at, at + BLOCK_BYTES))
    this.#block.set(bytes.subarray(at, to))
    this.#held = to - at
  }

  #endRun(): void {
    if (this.#held > 0) this.#digest(this.#block.fill(0, this.#held))
    this.#held = 0
  }

  #digest(block: Uint8Array): void {
    digestInto(block, this.#piece, this.#filled)
    this.#filled += DIGEST_BYTES
    if (this.#filled < PIECE_BYTES) return
    this.#write(this.#piece)
    this.#piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
    this.#filled = 0
  }

  #write(bytes: Uint8Array): void {
    this.#checksum = crc32(bytes, this.#checksum)
    this.#sink(bytes, this.#written)
    this.#written += bytes.length
  }
}

/**
 * A stored table; its digests are a view of `bytes`.
 * @throws {WireError} when it is damaged, or says what cannot be
 */
export function parseLeafTable(bytes: Uint8Array): LeafTable {
  const { blobBytes, runs, digests, crc } = parseHead(bytes)
  const columnsAt = HEAD_BYTES + digests * DIGEST_BYTES
  const size = columnsAt + runs * 16
  if (bytes.length !== size) throw new WireError(WHAT, `it has ${bytes.length} bytes, not ${size}`)
  if (checksumOf(bytes.subarray(0, CHECKSUM_AT), crc32(bytes.subarray(HEAD_BYTES))) !== crc)
    throw new WireError(WHAT, 'its checksum does not match')
  // A copy begins on a boundary of eight bytes, as columns of numbers must.
  const columns = Uint8Array.from(bytes.subarray(columnsAt)).buffer
  const offsets = new Float64Array(columns, 0, runs)
  const lengths = new Float64Array(columns, runs * 8, runs)
  const firsts = new Uint32Array(runs)
  let end = 0
  let first = 0
  for (let run = 0; run < runs; run += 1) {
    const [offset, length] = [offsets[run]!, lengths[run]!]
    if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || length <= 0 || offset < end)
      throw new WireError(WHAT, `run ${run} is out of place`)
    end = offset + length
    firsts[run] = first
    first += Math.ceil(length / BLOCK_BYTES)
    if (end > blobBytes || first > digests) throw new WireError(WHAT, `run ${run} goes beyond the end`)
  }
  if (first !== digests) throw new WireError(WHAT, `${digests} digests, its runs have ${first}`)
  return { blobBytes, offsets, lengths, firsts, digests: bytes.subarray(HEAD_BYTES, columnsAt) }
}

function headOf(blobBytes: number, runs: number, digests: number, checksum: number): Uint8Array {
  const head = new Writer(HEAD_BYTES)
    .utf8(MAGIC)
    .u32le(VERSION)
    .u32le(runs)
    .u64le(BigInt(digests))
    .u64le(BigInt(blobBytes))
  const crc = checksumOf(head.done(), checksum)
  return head
    .u32le(crc)
    .zeros(HEAD_BYTES - CHECKSUM_AT - 4)
    .done()
}

function parseHead(bytes: Uint8Array) {
  const reader = new Reader(bytes.subarray(0, HEAD_BYTES), WHAT)
  const magic = reader.latin1(MAGIC.length, 'magic')
  const version = reader.u32le('version')
  if (magic !== MAGIC || version !== VERSION) throw new WireError(WHAT, `it is none of version ${VERSION}`)
  const runs = bounded(reader.u32le('runs'), LEAF_LIMITS.runs, 'runs')
  const digests = bounded(Number(reader.u64le('digests')), LEAF_LIMITS.digests, 'digests')
  const blobBytes = bounded(Number(reader.u64le('blob size')), Number.MAX_SAFE_INTEGER, 'bytes')
  const crc = reader.u32le('checksum')
  if (reader.take(HEAD_BYTES - reader.at, 'head').some((byte) => byte !== 0))
    throw new WireError(WHAT, 'its head has more than it should')
  return { runs, digests, blobBytes, crc }
}

/** Of all that follows the head, then of the fields in front of it: the head is written last. */
function checksumOf(fields: Uint8Array, ofTheRest: number): number {
  return crc32(fields, ofTheRest)
}

function bounded(value: number, most: number, what: string): number {
  if (value > most) throw new WireError(WHAT, `${value} ${what}, at most ${most}`)
  return value
}

function twice(column: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const wider = new Float64Array(column.length * 2)
  wider.set(column)
  return wider
}
