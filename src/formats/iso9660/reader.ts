/**
 * The files of an ISO 9660 image (ECMA-119), by their Rock Ridge names where it has them, else by Joliet's, else by its own in small
 * letters. Only directories are read; data are told by their place.
 */
import { Reader } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import { FLAGS, SECTOR_BYTES } from './records.ts'
import { rockRidgeOf, type RockRidge } from './system-use.ts'

export interface IsoFile {
  /** Below the root, parts divided by `/`. */
  readonly path: string
  readonly kind: 'file' | 'directory' | 'symlink' | 'other'
  /** Where the bytes of a file lie in the image, in order. */
  readonly parts: readonly { readonly offset: number; readonly length: number }[]
  /** Since 1970. */
  readonly mtimeSeconds: number
}

/** Bytes of the image; fewer than asked for only where it ends. */
export type ReadImage = (offset: number, length: number) => Promise<Uint8Array>

const WHAT = 'ISO 9660 image'
export const ISO_LIMITS = {
  directoryBytes: 64 << 20,
  files: 1_000_000,
  depth: 64,
  descriptors: 64,
  parts: 1024,
} as const
const FIRST_DESCRIPTOR = 16

interface Directory {
  readonly path: string
  readonly lba: number
  readonly sizeBytes: number
  readonly depth: number
}

/** Whether there is the first descriptor of such an image. */
export async function isIsoImage(read: ReadImage): Promise<boolean> {
  const bytes = await read(FIRST_DESCRIPTOR * SECTOR_BYTES, 6)
  return Buffer.from(bytes).toString('latin1', 1) === 'CD001'
}

/**
 * Everything below the root, directories before what is in them.
 * @param sizeBytes of the image
 * @throws {WireError} when it is none, is cut short, or goes beyond ISO_LIMITS
 */
export async function readIso(read: ReadImage, sizeBytes: number): Promise<IsoFile[]> {
  const { primary, joliet } = await rootsOf(read)
  const first = await directoryOf(read, primary, sizeBytes)
  const own = recordsIn(first)[0]
  const skip = own === undefined ? undefined : rockRidgeOf(own.systemUse, 0)?.skip
  const isJoliet = skip === undefined && joliet !== undefined
  const files: IsoFile[] = []
  const seen = new Set<number>()
  let directoryBytes = 0
  const queue: Directory[] = [{ path: '', depth: 0, ...(isJoliet ? joliet : primary) }]
  for (const directory of queue) {
    if (seen.has(directory.lba)) throw wrong(`directory "${directory.path}" is in itself or comes twice`)
    seen.add(directory.lba)
    directoryBytes += directory.sizeBytes
    if (directoryBytes > ISO_LIMITS.directoryBytes) throw wrong('its directories are too large')
    if (directory.depth > ISO_LIMITS.depth) throw wrong(`"${directory.path}" is too deep`)
    const records = recordsIn(await directoryOf(read, directory, sizeBytes))
    for (let at = 0; at < records.length; at += 1) {
      const record = records[at]!
      if (record.identifier.length === 1 && record.identifier.charCodeAt(0) <= 1) continue
      const parts = [partOf(record, sizeBytes)]
      // A file of 4 GiB and more goes on in the records that follow.
      while ((records[at]!.flags & FLAGS.goesOn) !== 0 && at + 1 < records.length) {
        at += 1
        parts.push(partOf(records[at]!, sizeBytes))
        if (parts.length > ISO_LIMITS.parts) throw wrong('a file has too many parts')
      }
      const extra = skip === undefined ? undefined : await extraOf(read, record.systemUse, skip)
      // A directory that was moved up stands once more at its place; we take it where it was moved to.
      if (extra?.isMoved === true) continue
      const name = nameOf(record.identifier, extra, isJoliet)
      const path = directory.path === '' ? name : `${directory.path}/${name}`
      const isDirectory = (record.flags & FLAGS.directory) !== 0
      const kind = isDirectory ? 'directory' : (extra?.kind ?? 'file')
      files.push({ path, kind, parts: kind === 'file' ? parts : [], mtimeSeconds: record.seconds })
      if (files.length > ISO_LIMITS.files) throw wrong(`it has more than ${ISO_LIMITS.files} files`)
      if (isDirectory) queue.push({ path, depth: directory.depth + 1, lba: record.lba, sizeBytes: record.sizeBytes })
    }
  }
  return files
}

async function rootsOf(read: ReadImage) {
  let primary: Omit<Directory, 'path' | 'depth'> | undefined
  let joliet: Omit<Directory, 'path' | 'depth'> | undefined
  for (let at = 0; at < ISO_LIMITS.descriptors; at += 1) {
    const bytes = await read((FIRST_DESCRIPTOR + at) * SECTOR_BYTES, SECTOR_BYTES)
    const reader = new Reader(bytes, WHAT)
    const type = reader.u8('descriptor')
    if (reader.latin1(5, 'descriptor') !== 'CD001') throw wrong('it has no volume descriptor')
    if (type === 255) break
    const escapes = Buffer.from(new Reader(bytes, WHAT).take(91, 'descriptor').subarray(88)).toString('latin1')
    const [record] = recordsIn(new Reader(bytes, WHAT).take(190, 'descriptor').subarray(156))
    if (record === undefined) continue
    if (type === 1) primary ??= record
    else if (type === 2 && /^%\/[@CE]$/.test(escapes)) joliet ??= record
  }
  if (primary === undefined) throw wrong('it has no primary volume descriptor')
  return { primary, joliet }
}

async function directoryOf(
  read: ReadImage,
  { lba, sizeBytes: length }: { readonly lba: number; readonly sizeBytes: number },
  sizeBytes: number,
): Promise<Uint8Array> {
  if (length > ISO_LIMITS.directoryBytes || lba * SECTOR_BYTES + length > sizeBytes)
    throw wrong(`a directory of ${length} bytes at sector ${lba} is beyond its end`)
  return read(lba * SECTOR_BYTES, length)
}

interface Record {
  readonly identifier: string
  readonly lba: number
  readonly sizeBytes: number
  readonly flags: number
  readonly seconds: number
  readonly systemUse: Uint8Array
}

/** §9.1; a sector ends where a record has the length 0. */
function recordsIn(bytes: Uint8Array): Record[] {
  const records: Record[] = []
  for (let at = 0; at < bytes.length;) {
    const length = bytes[at]!
    if (length === 0) {
      at = (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES
      continue
    }
    const reader = new Reader(new Reader(bytes.subarray(at), WHAT).take(length, 'directory record'), WHAT)
    reader.skip(2, 'directory record')
    const lba = reader.u32le('sector')
    reader.skip(4, 'sector')
    const sizeBytes = reader.u32le('length')
    reader.skip(4, 'length')
    const seconds = secondsOf(reader.take(7, 'time'))
    const flags = reader.u8('flags')
    reader.skip(6, 'directory record')
    const nameLength = reader.u8('length of the identifier')
    const identifier = reader.latin1(nameLength, 'identifier')
    if (nameLength % 2 === 0 && reader.left > 0) reader.skip(1)
    records.push({ identifier, lba, sizeBytes, flags, seconds, systemUse: reader.rest() })
    at += length
  }
  return records
}

function partOf({ lba, sizeBytes: length }: Record, sizeBytes: number) {
  const offset = lba * SECTOR_BYTES
  if (length > 0 && offset + length > sizeBytes) throw wrong(`${length} bytes at sector ${lba} are beyond its end`)
  return { offset, length }
}

async function extraOf(read: ReadImage, systemUse: Uint8Array, skip: number): Promise<RockRidge | undefined> {
  let extra = rockRidgeOf(systemUse, skip)
  // A name may go on in another place, once and again; more than a few times is no name.
  for (let times = 0; extra?.next !== undefined && times < 8; times += 1) {
    const { lba, offset, length } = extra.next
    if (length > SECTOR_BYTES) throw wrong(`fields of ${length} bytes that go on elsewhere`)
    extra = rockRidgeOf(await read(lba * SECTOR_BYTES + offset, length), 0, extra)
  }
  return extra
}

function nameOf(identifier: string, extra: RockRidge | undefined, isJoliet: boolean): string {
  const plain = isJoliet
    ? Buffer.from(identifier.slice(0, identifier.length & ~1), 'latin1')
        .swap16()
        .toString('utf16le')
    : identifier.toLowerCase()
  const own = extra?.name === undefined ? undefined : Buffer.from(extra.name, 'latin1').toString('utf8')
  const name = own ?? plain.replace(/;\d+$/, '').replace(/\.$/, '')
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) throw wrong(`"${name}" is no name`)
  return name
}

/** §9.1.5. */
function secondsOf(time: Uint8Array): number {
  const [year, month, day, hour, minute, second, zone] = time as unknown as number[]
  const quarters = (zone! << 24) >> 24
  return Date.UTC(1900 + year!, Math.max(0, month! - 1), day!, hour, minute, second) / 1000 - quarters * 900
}

function wrong(why: string): WireError {
  return new WireError(WHAT, why)
}
