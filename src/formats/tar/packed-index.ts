/**
 * A layer index as it is held: the bytes that are stored, nothing else. A million entries as objects would take a gigabyte;
 * as bytes they take some 25 each, and what is not asked for is never made.
 */
import { crc32 } from 'node:zlib'
import type { ByteString } from './byte-string.ts'
import { passRecord, readRecord, writeRecord, type PassedRecord } from './index-record.ts'
import { IndexSink } from './index-sink.ts'
import { IndexSource } from './index-source.ts'
import type { LayerEntry, LayerIndex } from './layer-index.ts'

export const MAGIC = 'BBLI\x01'
export const CRC_BYTES = 4
/** Magic and two numbers of at most 8 bytes. */
const HEAD_BYTES = 32

/** What names a whiteout, wherever it stands in a name: see formats/tree/whiteout.ts. */
const WHITEOUT_MARK = '.wh.'

/** The facts of a document that was checked, or just written. */
export interface PackedFacts {
  readonly bytes: Uint8Array
  readonly blobBytes: number
  readonly entryCount: number
  /** Offset of the first record. */
  readonly recordsAt: number
  /** Whether a path holds `.wh.`: a merge must look for whiteouts. */
  readonly hasWhiteouts: boolean
}

export class PackedIndex implements LayerIndex {
  /** The whole document, checksum included. */
  readonly bytes: Uint8Array
  readonly blobBytes: number
  readonly entryCount: number
  readonly hasWhiteouts: boolean
  readonly #recordsAt: number

  constructor({ bytes, blobBytes, entryCount, recordsAt, hasWhiteouts }: PackedFacts) {
    this.bytes = bytes
    this.blobBytes = blobBytes
    this.entryCount = entryCount
    this.hasWhiteouts = hasWhiteouts
    this.#recordsAt = recordsAt
  }

  /** Made at each access, all at once: for tests and small indexes. */
  get entries(): readonly LayerEntry[] {
    const source = this.#source()
    return Array.from({ length: this.entryCount }, () => readRecord(source, this.blobBytes))
  }

  /** The entries in their order, each made when it is reached. */
  *each(): Generator<LayerEntry> {
    const source = this.#source()
    for (let left = this.entryCount; left > 0; left -= 1) yield readRecord(source, this.blobBytes)
  }

  /** The entries in their order, each as little as a merge needs. */
  *records(): Generator<PassedRecord> {
    const source = this.#source()
    for (let left = this.entryCount; left > 0; left -= 1) yield passRecord(source)
  }

  #source(): IndexSource {
    return new IndexSource(this.bytes, this.#recordsAt, this.bytes.length - CRC_BYTES)
  }
}

/** Makes an index of entries as they come. */
export class PackedIndexWriter {
  readonly #out = new IndexSink(HEAD_BYTES)
  #entryCount = 0
  #before: ByteString = ''
  #hasWhiteouts = false

  /** @returns by how many bytes the index has grown */
  add(entry: LayerEntry): number {
    const from = this.#out.length
    writeRecord(this.#out, entry, this.#before)
    this.#before = entry.path
    this.#hasWhiteouts ||= isWhiteoutLike(entry.path)
    this.#entryCount += 1
    return this.#out.length - from
  }

  /** @param blobBytes length of the uncompressed layer blob. Nothing may be added afterwards */
  done(blobBytes: number): PackedIndex {
    const head = new IndexSink()
    head.raw(Buffer.from(MAGIC, 'latin1'))
    head.number(blobBytes)
    head.number(this.#entryCount)
    const headBytes = head.done()
    this.#out.raw(Buffer.alloc(CRC_BYTES))
    const all = this.#out.done()
    const bytes = all.subarray(HEAD_BYTES - headBytes.length)
    bytes.set(headBytes)
    const end = bytes.length - CRC_BYTES
    bytes.writeUInt32BE(crc32(bytes.subarray(0, end)), end)
    return new PackedIndex({
      bytes,
      blobBytes,
      entryCount: this.#entryCount,
      recordsAt: headBytes.length,
      hasWhiteouts: this.#hasWhiteouts,
    })
  }
}

/** The same index in its packed form. */
export function packIndex(index: LayerIndex): PackedIndex {
  if (index instanceof PackedIndex) return index
  const writer = new PackedIndexWriter()
  for (const entry of index.entries) writer.add(entry)
  return writer.done(index.blobBytes)
}

export function isWhiteoutLike(path: ByteString): boolean {
  return path.includes(WHITEOUT_MARK)
}
