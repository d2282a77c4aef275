/**
 * One entry of a layer index as bytes, all numbers LEB128:
 *
 *     record = tag · path · metadata
 *     path = bytes shared with the path before · length of the rest · rest
 *     metadata = mode · uid · gid · mtime sign, seconds · nanoseconds · by kind: size and runs | target | major, minor · [attributes]
 *
 * `tag` holds the kind (bits 0-2), whether attributes follow (bit 3), and whether the data is one run that is the whole file
 * (bit 4), which is all files but sparse ones.
 */
import { WireError } from '../../base/errors.ts'
import type { ByteString } from './byte-string.ts'
import type { IndexSink } from './index-sink.ts'
import { WHAT, type IndexSource } from './index-source.ts'
import {
  LAYER_ENTRY_KINDS,
  NO_DATA,
  NO_XATTRS,
  type DataRun,
  type LayerEntry,
  type LayerEntryKind,
} from './layer-index.ts'
import { ID_MAX, NAME_BYTES, PATH_BYTES, TAR_LIMITS, XATTR_VALUE_BYTES } from './limits.ts'
import { isPlain } from './name.ts'

const KIND_BITS = 0x07
const HAS_XATTRS = 0x08
const IS_WHOLE = 0x10
/** Tags are 5 bits: they take one byte. */
const TAG_MAX = 0x1f

/** All of an entry but its name. */
export type Metadata = Omit<LayerEntry, 'path'>

/** @param before the path of the entry before */
export function writeRecord(out: IndexSink, entry: LayerEntry, before: ByteString): void {
  out.number(tagOf(entry))
  const shared = sharedLength(before, entry.path)
  out.number(shared)
  out.text(entry.path, shared)
  writeMetadata(out, entry)
}

/** What `readMetadata` needs beside the bytes of `writeMetadata`. */
export function tagOf({ kind, data, size, xattrs }: Metadata): number {
  const isWhole = data.length === 1 && data[0]!.at === 0 && data[0]!.length === size
  return LAYER_ENTRY_KINDS.indexOf(kind) | (xattrs.size > 0 ? HAS_XATTRS : 0) | (isWhole ? IS_WHOLE : 0)
}

export function writeMetadata(out: IndexSink, entry: Metadata): void {
  const { kind, xattrs } = entry
  out.number(entry.mode)
  out.number(entry.uid)
  out.number(entry.gid)
  out.signed(entry.mtimeSeconds)
  out.number(entry.mtimeNanoseconds)
  if (kind === 'file') writeData(out, entry)
  if (isLink(kind)) out.text(entry.target)
  if (isDevice(kind)) {
    out.number(entry.deviceMajor)
    out.number(entry.deviceMinor)
  }
  if (xattrs.size > 0) writeXattrs(out, xattrs)
}

/** @throws {WireError} when a value is out of its bounds, or data lies outside of the blob */
export function readRecord(source: IndexSource, blobBytes: number): LayerEntry {
  const tag = source.number('tag', TAG_MAX)
  const path = source.path()
  if (path !== '' && !isPlain(path)) throw new WireError(WHAT, 'a path that is not plain')
  const entry = readMetadata(source, tag, blobBytes, path)
  if (path === '' && entry.kind !== 'directory') throw new WireError(WHAT, `the root as a ${entry.kind}`)
  return entry
}

/** The entry that the tag and the bytes behind it say, at `path`. @throws {WireError} as readRecord */
export function readMetadata(source: IndexSource, tag: number, blobBytes: number, path: ByteString): LayerEntry {
  const kind = kindOf(tag)
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
  const deviceMajor = isDevice(kind) ? source.number('device major', 0xfff) : 0
  const deviceMinor = isDevice(kind) ? source.number('device minor', 0xfffff) : 0
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

/** Passes over a record that was read before. @returns what a merge needs of it; offsets are those of the source */
export function passRecord(source: IndexSource): PassedRecord {
  const tag = source.number('tag', TAG_MAX)
  const kind = kindOf(tag)
  const path = source.path()
  const metadataAt = source.at
  source.skipNumbers(6)
  let target = ''
  if (kind === 'hardlink') target = source.text('target', PATH_BYTES)
  else if (kind === 'symlink') source.skipBytes()
  else if (isDevice(kind)) source.skipNumbers(2)
  else if (kind === 'file') {
    source.skipNumbers(1)
    if ((tag & IS_WHOLE) !== 0) source.skipNumbers(1)
    else source.skipNumbers(3 * source.number('runs'))
  }
  if ((tag & HAS_XATTRS) !== 0) for (let left = 2 * source.number('attributes'); left > 0; left -= 1) source.skipBytes()
  return { tag, kind, path, target, metadataAt, metadataEnd: source.at }
}

export interface PassedRecord {
  readonly tag: number
  readonly kind: LayerEntryKind
  readonly path: ByteString
  /** Of hard links; else empty. */
  readonly target: ByteString
  readonly metadataAt: number
  readonly metadataEnd: number
}

/** The kind that a tag holds. @throws {WireError} when it holds none */
export function kindOf(tag: number): LayerEntryKind {
  const kind = LAYER_ENTRY_KINDS[tag & KIND_BITS]
  if (kind === undefined) throw new WireError(WHAT, `no kind ${tag & KIND_BITS}`)
  return kind
}

function isLink(kind: LayerEntryKind): boolean {
  return kind === 'symlink' || kind === 'hardlink'
}

function isDevice(kind: LayerEntryKind): boolean {
  return kind === 'character' || kind === 'block'
}

function sharedLength(a: ByteString, b: ByteString): number {
  const end = Math.min(a.length, b.length)
  let at = 0
  while (at < end && a.charCodeAt(at) === b.charCodeAt(at)) at += 1
  return at
}

function writeData(out: IndexSink, entry: Metadata): void {
  const { size, data } = entry
  out.number(size)
  if ((tagOf(entry) & IS_WHOLE) !== 0) return out.number(data[0]!.offset)
  out.number(data.length)
  for (const run of data) {
    out.number(run.at)
    out.number(run.offset)
    out.number(run.length)
  }
}

function writeXattrs(out: IndexSink, xattrs: LayerEntry['xattrs']): void {
  out.number(xattrs.size)
  for (const [name, value] of xattrs) {
    out.text(name)
    out.number(value.length)
    out.raw(value)
  }
}

function readData(source: IndexSource, size: number, isWhole: boolean, blobBytes: number): readonly DataRun[] {
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

function readTarget(source: IndexSource, kind: LayerEntryKind): ByteString {
  if (!isLink(kind)) return ''
  const target = source.text('target', PATH_BYTES)
  const isGood = kind === 'hardlink' ? isPlain(target) : target !== '' && !target.includes('\0')
  if (!isGood) throw new WireError(WHAT, `a ${kind} to nothing`)
  return target
}

function readXattrs(source: IndexSource): ReadonlyMap<ByteString, Uint8Array> {
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
