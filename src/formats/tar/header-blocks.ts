/**
 * Headers of tar entries, as GNU tar, busybox, Go and libarchive all read them, which decides the forms: long names as GNU `L`
 * and `K` entries (busybox knows no PAX names, and they carry bytes that are not UTF-8), numbers too big for octal as base-256
 * and in PAX, times and attributes in PAX.
 */
import type { ByteString } from './byte-string.ts'
import { BLOCK_BYTES } from './header.ts'
import type { LayerEntry } from './layer-index.ts'

export type EntryMetadata = Pick<
  LayerEntry,
  'mode' | 'uid' | 'gid' | 'mtimeSeconds' | 'mtimeNanoseconds' | 'deviceMajor' | 'deviceMinor' | 'xattrs'
>

export const TYPEFLAGS = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
} as const

export interface Header {
  readonly entry: EntryMetadata
  readonly typeflag: string
  readonly name: ByteString
  readonly target: ByteString
  /** Bytes that follow in the archive. */
  readonly size: number
  /** The logical size where a sparse map (GNU.sparse 1.0) and only the data that it names follow. */
  readonly sparseSize?: number
  /** As GNU tar unescapes the names of attributes; by default as libarchive does. */
  readonly isForGnu?: boolean
}

/** The header block of an entry, and before it those that say what it has no room for. */
export interface HeaderBlocks {
  /** Bytes of all blocks. */
  readonly length: number
  bytes(): Uint8Array
}

export function headerBlocks(header: Header): HeaderBlocks {
  const records = header.typeflag === TYPEFLAGS.hardlink ? '' : paxRecords(header)
  const names = splitName(header.name)
  const described: Metadata[] = []
  if (records !== '') described.push({ typeflag: 'x', name: 'PaxHeader', payload: records })
  if (header.target.length > 100)
    described.push({ typeflag: 'K', name: '././@LongLink', payload: `${header.target}\0` })
  if (names === undefined) described.push({ typeflag: 'L', name: '././@LongLink', payload: `${header.name}\0` })
  const length = described.reduce((sum, { payload }) => sum + BLOCK_BYTES + padded(payload.length), BLOCK_BYTES)
  return { length, bytes: () => write(header, names, described, length) }
}

/** An entry that describes the next one. */
interface Metadata {
  readonly typeflag: string
  readonly name: string
  readonly payload: ByteString
}

function write(header: Header, names: ReturnType<typeof splitName>, described: Metadata[], length: number): Buffer {
  const bytes = Buffer.alloc(length)
  let at = 0
  for (const { name, typeflag, payload } of described) {
    const fields = { prefix: '', mode: 0o644, uid: 0, gid: 0, mtime: 0, target: '', major: 0, minor: 0 }
    fillBlock(bytes.subarray(at, at + BLOCK_BYTES), { ...fields, name, typeflag, size: payload.length })
    bytes.write(payload, at + BLOCK_BYTES, 'latin1')
    at += BLOCK_BYTES + padded(payload.length)
  }
  const { entry, typeflag, target, size } = header
  const [prefix, name] = names ?? ['', header.name.slice(0, 100)]
  const { mode, uid, gid, deviceMajor: major, deviceMinor: minor } = entry
  const mtime = Math.max(entry.mtimeSeconds, 0)
  const fields = { name, prefix, mode, uid, gid, size, mtime, typeflag, target: target.slice(0, 100), major, minor }
  fillBlock(bytes.subarray(at), fields)
  return bytes
}

function padded(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES
}

/** Name and prefix of ustar, or undefined where the name does not fit. */
function splitName(name: ByteString): readonly [prefix: ByteString, name: ByteString] | undefined {
  if (name.length <= 100) return ['', name]
  const slash = name.indexOf('/', name.length - 101)
  return slash > 0 && slash <= 155 && slash < name.length - 1
    ? [name.slice(0, slash), name.slice(slash + 1)]
    : undefined
}

function paxRecords({ entry, size, sparseSize, isForGnu = false }: Header): ByteString {
  let records = ''
  if (size > 0o77777777777) records += record('size', String(size))
  if (entry.uid > 0o7777777) records += record('uid', String(entry.uid))
  if (entry.gid > 0o7777777) records += record('gid', String(entry.gid))
  if (entry.mtimeNanoseconds !== 0 || entry.mtimeSeconds < 0) records += record('mtime', timeText(entry))
  if (sparseSize !== undefined)
    records +=
      record('GNU.sparse.major', '1') +
      record('GNU.sparse.minor', '0') +
      record('GNU.sparse.realsize', String(sparseSize))
  for (const [name, value] of entry.xattrs) records += isForGnu ? gnuXattr(name, value) : xattrRecord(name, value)
  return records
}

/** A key ends at the first "=", so a name that holds one goes in libarchive's form, which escapes it. */
function xattrRecord(name: ByteString, value: Uint8Array): ByteString {
  const bytes = Buffer.from(value)
  if (!name.includes('=')) return record(`SCHILY.xattr.${name}`, bytes.toString('latin1'))
  const escaped = name.replace(
    /[^A-Za-z0-9._-]/g,
    (c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`,
  )
  return record(`LIBARCHIVE.xattr.${escaped}`, bytes.toString('base64').replace(/=+$/, ''))
}

function gnuXattr(name: ByteString, value: Uint8Array): ByteString {
  const escaped = name.replaceAll('%', '%25').replaceAll('=', '%3D')
  return record(`SCHILY.xattr.${escaped}`, Buffer.from(value).toString('latin1'))
}

function timeText({ mtimeSeconds, mtimeNanoseconds }: EntryMetadata): string {
  if (mtimeNanoseconds === 0) return String(mtimeSeconds)
  // Seconds are rounded down, so a negative time counts its fraction backwards: -2 s and 0.75 s are -1.25.
  const isNegative = mtimeSeconds < 0
  const seconds = isNegative ? `-${-(mtimeSeconds + 1)}` : String(mtimeSeconds)
  const nanoseconds = isNegative ? 1_000_000_000 - mtimeNanoseconds : mtimeNanoseconds
  return `${seconds}.${String(nanoseconds).padStart(9, '0').replace(/0+$/, '')}`
}

/** `LENGTH KEY=VALUE\n`, where the length counts its own digits. */
function record(key: ByteString, value: ByteString): ByteString {
  const rest = key.length + value.length + 3
  let length = rest + String(rest).length
  if (rest + String(length).length > length) length += 1
  return `${length} ${key}=${value}\n`
}

interface Fields {
  readonly name: ByteString
  readonly prefix: ByteString
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtime: number
  readonly typeflag: string
  readonly target: ByteString
  readonly major: number
  readonly minor: number
}

/** One header block of POSIX.1-1988 ustar, into a block of zeros. */
function fillBlock(bytes: Buffer, fields: Fields): void {
  bytes.write(fields.name, 0, 'latin1')
  putNumber(bytes, 100, 8, fields.mode)
  putNumber(bytes, 108, 8, fields.uid)
  putNumber(bytes, 116, 8, fields.gid)
  putNumber(bytes, 124, 12, fields.size)
  putNumber(bytes, 136, 12, fields.mtime)
  bytes.write(fields.typeflag, 156, 'latin1')
  bytes.write(fields.target, 157, 'latin1')
  bytes.write('ustar\x0000', 257, 'latin1')
  putNumber(bytes, 329, 8, fields.major)
  putNumber(bytes, 337, 8, fields.minor)
  bytes.write(fields.prefix, 345, 'latin1')
  bytes.fill(0x20, 148, 156)
  let sum = 0
  for (let at = 0; at < BLOCK_BYTES; at += 1) sum += bytes[at]!
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
}

/** Octal digits and a NUL where they fit, else GNU's base-256. */
function putNumber(bytes: Buffer, at: number, width: number, value: number): void {
  const octal = value.toString(8)
  if (octal.length < width) {
    bytes.write(`${octal.padStart(width - 1, '0')}\0`, at, 'latin1')
    return
  }
  let left = value
  for (let index = at + width - 1; index >= at; index -= 1) {
    bytes[index] = left % 256
    left = Math.floor(left / 256)
  }
  bytes[at]! |= 0x80
}
