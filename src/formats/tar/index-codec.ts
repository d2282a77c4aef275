/**
 * A layer index as bytes, stored beside the layer blob. Layout, all numbers LEB128 (7 bits a byte, low first):
 *
 *     "BBLI" 1 · blobBytes · entry count · entry… · CRC-32 of all before it (4 bytes, big-endian)
 *     entry = tag · bytes of the path shared with the path before · rest of the path · mode · uid · gid
 *             · mtime sign, seconds · nanoseconds · by kind: size and runs | target | major, minor · [attributes]
 *
 * `tag` holds the kind (bits 0-2), whether attributes follow (bit 3), and whether the data is one run that is the whole file
 * (bit 4), which is all files but sparse ones. Paths share their beginnings, so 100,000 files take about 3 MB.
 */
import { crc32 } from 'node:zlib'
import { WireError } from '../../base/errors.ts'
import { byteString, type ByteString } from './byte-string.ts'
import {
  LAYER_ENTRY_KINDS,
  NO_DATA,
  NO_XATTRS,
  type DataRun,
  type LayerEntry,
  type LayerEntryKind,
  type LayerIndex,
} from './layer-index.ts'
import { ID_MAX, NAME_BYTES, PATH_BYTES, TAR_LIMITS, XATTR_VALUE_BYTES } from './limits.ts'
import { isPlain } from './name.ts'

const WHAT = 'layer index'
const MAGIC = 'BBLI\x01'
const HAS_XATTRS = 0x08
const IS_WHOLE = 0x10

/** The bytes of an index; parseLayerIndex gives an equal index back. */
export function serializeLayerIndex(index: LayerIndex): Uint8Array {
  const out = new Sink()
  out.raw(Buffer.from(MAGIC, 'latin1'))
  out.number(index.blobBytes)
  out.number(index.entries.length)
  let before = ''
  for (const entry of index.entries) {
    writeEntry(out, entry, before)
    before = entry.path
  }
  return out.done()
}

/**
 * Reads what serializeLayerIndex wrote.
 * @throws {WireError} when the checksum is wrong, a value is out of its bounds, or data lies outside of the blob
 */
export function parseLayerIndex(bytes: Uint8Array): LayerIndex {
  const source = new Source(bytes)
  const blobBytes = source.number('blob size')
  const count = source.number('entry count', TAR_LIMITS.entries)
  const entries: LayerEntry[] = []
  let before = ''
  for (let at = 0; at < count; at += 1) {
    const entry = readEntry(source, before, blobBytes)
    entries.push(entry)
    before = entry.path
  }
  source.end()
  return { entries, blobBytes }
}

function writeEntry(out: Sink, entry: LayerEntry, before: ByteString): void {
  const { kind, path, data, xattrs } = entry
  const isWhole = data.length === 1 && data[0]!.at === 0 && data[0]!.length === entry.size
  const tag = LAYER_ENTRY_KINDS.indexOf(kind) | (xattrs.size > 0 ? HAS_XATTRS : 0) | (isWhole ? IS_WHOLE : 0)
  out.number(tag)
  const shared = sharedLength(before, path)
  out.number(shared)
  out.text(path.slice(shared))
  out.number(entry.mode)
  out.number(entry.uid)
  out.number(entry.gid)
  out.signed(entry.mtimeSeconds)
  out.number(entry.mtimeNanoseconds)
  if (kind === 'file') writeData(out, entry, isWhole)
  if (kind === 'symlink' || kind === 'hardlink') out.text(entry.target)
  if (kind === 'character' || kind === 'block') {
    out.number(entry.deviceMajor)
    out.number(entry.deviceMinor)
  }
  if (xattrs.size > 0) writeXattrs(out, xattrs)
}

function writeData(out: Sink, { size, data }: LayerEntry, isWhole: boolean): void {
  out.number(size)
  if (isWhole) return out.number(data[0]!.offset)
  out.number(data.length)
  for (const run of data) {
    out.number(run.at)
    out.number(run.offset)
    out.number(run.length)
  }
}

function writeXattrs(out: Sink, xattrs: LayerEntry['xattrs']): void {
  out.number(xattrs.size)
  for (const [name, value] of xattrs) {
    out.text(name)
    out.number(value.length)
    out.raw(value)
  }
}

function sharedLength(a: ByteString, b: ByteString): number {
  const end = Math.min(a.length, b.length)
  let at = 0
  while (at < end && a.charCodeAt(at) === b.charCodeAt(at)) at += 1
  return at
}

function readEntry(source: Source, before: ByteString, blobBytes: number): LayerEntry {
  const tag = source.number('tag', 0x1f)
  const kind = LAYER_ENTRY_KINDS[tag & 0x07]
  if (kind === undefined) throw new WireError(WHAT, `no kind ${tag & 0x07}`)
  const path = readPath(source, before)
  if (path === '' && kind !== 'directory') throw new WireError(WHAT, `the root as a ${kind}`)
  const mode = source.number('mode', 0o7777)
  const uid = source.number('uid', ID_MAX)
  const gid = source.number('gid', ID_MAX)
  const mtimeSeconds = source.signed('mtime')
  const mtimeNanoseconds = source.number('nanoseconds', 999_999_999)
  const size = kind === 'file' ? source.number('size') : 0
  const isWhole = (tag & IS_WHOLE) !== 0
  if (isWhole && (kind !== 'file' || size === 0)) throw new WireError(WHAT, `a ${kind} of ${size} bytes with data`)
  const data = kind === 'file' ? readData(source, size, isWhole, blobBytes) : NO_DATA
  const target = readTarget(source, kind)
  const isDevice = kind === 'character' || kind === 'block'
  const deviceMajor = isDevice ? source.number('device major', 0xfff) : 0
  const deviceMinor = isDevice ? source.number('device minor', 0xfffff) : 0
  const xattrs = (tag & HAS_XATTRS) === 0 ? NO_XATTRS : readXattrs(source)
  // The same keys in the same order as the indexer's, so that all entries share one hidden class.
  return {
    kind,
    path,
    mode,
    uid,
    gid,
    mtimeSeconds,
    mtimeNanoseconds,
    size,
    data,
    target,
    deviceMajor,
    deviceMinor,
    xattrs,
  }
}

function readPath(source: Source, before: ByteString): ByteString {
  const shared = source.number('shared bytes', before.length)
  const path = before.slice(0, shared) + source.text('path', PATH_BYTES)
  if (path !== '' && !isPlain(path)) throw new WireError(WHAT, 'a path that is not plain')
  return path
}

function readData(source: Source, size: number, isWhole: boolean, blobBytes: number): readonly DataRun[] {
  if (isWhole) return [checkedRun({ at: 0, offset: source.number('offset'), length: size }, size, blobBytes)]
  const count = source.number('runs', TAR_LIMITS.dataRuns)
  if (count === 0) return NO_DATA
  const runs: DataRun[] = []
  let end = 0
  for (let index = 0; index < count; index += 1) {
    const run = { at: source.number('run'), offset: source.number('offset'), length: source.number('length') }
    if (run.at < end || run.length === 0) throw new WireError(WHAT, 'data runs out of order')
    end = run.at + run.length
    runs.push(checkedRun(run, size, blobBytes))
  }
  return runs
}

function checkedRun(run: DataRun, size: number, blobBytes: number): DataRun {
  if (run.at + run.length > size || run.offset + run.length > blobBytes)
    throw new WireError(WHAT, 'data beyond the file or the blob')
  return run
}

function readTarget(source: Source, kind: LayerEntryKind): ByteString {
  if (kind !== 'symlink' && kind !== 'hardlink') return ''
  const target = source.text('target', PATH_BYTES)
  const isGood = kind === 'hardlink' ? isPlain(target) : target !== '' && !target.includes('\0')
  if (!isGood) throw new WireError(WHAT, `a ${kind} to nothing`)
  return target
}

function readXattrs(source: Source): ReadonlyMap<ByteString, Uint8Array> {
  const count = source.number('attributes', 65_536)
  const xattrs = new Map<ByteString, Uint8Array>()
  for (let index = 0; index < count; index += 1) {
    const name = source.text('attribute name', NAME_BYTES)
    if (name === '' || name.includes('\0') || xattrs.has(name)) throw new WireError(WHAT, 'a wrong attribute name')
    xattrs.set(name, Uint8Array.from(source.raw(source.number('attribute size', XATTR_VALUE_BYTES))))
  }
  if (count === 0) throw new WireError(WHAT, 'an empty list of attributes')
  return xattrs
}

/** Growing output; base/bytes' Writer has no variable-length numbers, and 1.5 million of them are written here. */
class Sink {
  #bytes = Buffer.allocUnsafe(65_536)
  #length = 0

  number(value: number): void {
    this.#room(8)
    let left = value
    while (left >= 0x80) {
      this.#bytes[this.#length++] = (left % 0x80) | 0x80
      left = Math.floor(left / 0x80)
    }
    this.#bytes[this.#length++] = left
  }

  /** The sign apart (zigzag would double the value, and round it beyond 2^52); -1 is 0 behind a sign. */
  signed(value: number): void {
    this.number(value < 0 ? 1 : 0)
    this.number(value < 0 ? -(value + 1) : value)
  }

  text(value: ByteString): void {
    this.number(value.length)
    this.#room(value.length)
    this.#length += this.#bytes.write(value, this.#length, 'latin1')
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  done(): Uint8Array {
    this.#room(4)
    this.#bytes.writeUInt32BE(crc32(this.#bytes.subarray(0, this.#length)), this.#length)
    return Uint8Array.from(this.#bytes.subarray(0, this.#length + 4))
  }

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return
    const bigger = Buffer.allocUnsafe(Math.max(this.#length + more, this.#bytes.length * 2))
    this.#bytes.copy(bigger, 0, 0, this.#length)
    this.#bytes = bigger
  }
}

class Source {
  readonly #bytes: Buffer
  readonly #end: number
  #at = MAGIC.length

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#end = bytes.length - 4
    if (this.#end < MAGIC.length || this.#bytes.toString('latin1', 0, MAGIC.length) !== MAGIC)
      throw new WireError(WHAT, 'it does not begin with its mark')
    if (crc32(this.#bytes.subarray(0, this.#end)) !== this.#bytes.readUInt32BE(this.#end))
      throw new WireError(WHAT, 'its checksum is wrong')
  }

  number(field: string, max = Number.MAX_SAFE_INTEGER): number {
    let value = 0
    let scale = 1
    for (let count = 0; count < 8; count += 1) {
      if (this.#at >= this.#end) throw new WireError(WHAT, `it ends within ${field}`)
      const byte = this.#bytes[this.#at++]!
      value += (byte & 0x7f) * scale
      scale *= 0x80
      if (byte >= 0x80) continue
      // A longer form of the same number would make two documents for one index.
      if (byte === 0 && count > 0) break
      if (value > max) throw new WireError(WHAT, `${field} is ${value}, at most ${max}`)
      return value
    }
    throw new WireError(WHAT, `${field} is not a number`)
  }

  signed(field: string): number {
    const isNegative = this.number(field, 1) === 1
    const value = this.number(field)
    return isNegative ? -value - 1 : value
  }

  text(field: string, max: number): ByteString {
    return byteString(this.raw(this.number(field, max)))
  }

  raw(length: number): Uint8Array {
    if (length > this.#end - this.#at) throw new WireError(WHAT, `${length} bytes wanted, ${this.#end - this.#at} left`)
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  end(): void {
    if (this.#at !== this.#end) throw new WireError(WHAT, `${this.#end - this.#at} bytes too many`)
  }
}
