/**
 * The table of SMBIOS structures (DSP0134, "System Management BIOS Reference Specification"), as Linux gives it in
 * /sys/firmware/dmi/tables/DMI, and the entry point that says which version wrote it (…/smbios_entry_point).
 */
import { Reader } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

/** Which revision of the specification a table follows; fields mean different things in some. */
export interface SmbiosVersion {
  readonly major: number
  readonly minor: number
}

/** One structure: its formatted area by offset, and the strings that follow it (DSP0134 §6.1). */
export interface Structure {
  readonly type: number
  readonly handle: number
  /** Unsigned little-endian numbers at an offset from the start of the structure; undefined where an older version ends before. */
  u8(offset: number): number | undefined
  u16(offset: number): number | undefined
  u32(offset: number): number | undefined
  u64(offset: number): bigint | undefined
  bytes(offset: number, length: number): Uint8Array | undefined
  /** The string whose number is at an offset: printable ASCII, trimmed; undefined where there is none or it says nothing. */
  text(offset: number): string | undefined
}

/** Larger than any table that was seen: 3.x says the size in 32 bits, real ones have some KiB. */
export const MAX_TABLE_BYTES = 262_144
const MAX_ENTRY_POINT_BYTES = 256
const END_OF_TABLE = 127
const HEADER_BYTES = 4
/** What firmware has in the place of a string that its vendor never filled in. */
const FILLER =
  /^(to be filled by o\.?e\.?m\.?|default string|system (serial number|manufacturer|product name|version)|(not )?(specified|available|applicable)|unknown|none|n\/?a|o\.?e\.?m\.?|0?123456789|[0x.\s-]*)$/i

/**
 * Parses an entry point: `_SM_` of 2.x (DSP0134 §5.2.1) or `_SM3_` of 3.x (§5.2.2). Its checksum is not held against it: the kernel
 * has done that, and some firmware is wrong about its own length.
 * @throws {WireError} when it is neither
 */
export function parseEntryPoint(bytes: Uint8Array): SmbiosVersion {
  if (bytes.length > MAX_ENTRY_POINT_BYTES)
    throw new WireError('SMBIOS entry point', `${bytes.length} bytes, at most ${MAX_ENTRY_POINT_BYTES} are read`)
  const read = new Reader(bytes, 'SMBIOS entry point')
  const anchor = read.latin1(4, 'anchor')
  if (anchor === '_SM3') {
    read.skip(3, 'anchor, checksum and length')
    return { major: read.u8('major version'), minor: read.u8('minor version') }
  }
  if (anchor !== '_SM_') throw new WireError('SMBIOS entry point', 'it begins with neither _SM_ nor _SM3_')
  read.skip(2, 'checksum and length')
  return { major: read.u8('major version'), minor: read.u8('minor version') }
}

/**
 * Splits a table into its structures, up to "end of table" (type 127) or the end of the bytes.
 * @throws {WireError} when a structure is shorter than its header, runs past the end or has no end of its strings
 */
export function parseStructures(table: Uint8Array): Structure[] {
  if (table.length > MAX_TABLE_BYTES)
    throw new WireError('SMBIOS table', `${table.length} bytes, at most ${MAX_TABLE_BYTES} are read`)
  const found: Structure[] = []
  const read = new Reader(table, 'SMBIOS table')
  while (read.left > 0) {
    const type = read.u8('type of a structure')
    const length = read.u8('length of a structure')
    if (length < HEADER_BYTES)
      throw new WireError('SMBIOS table', `structure at offset ${read.at - 2} says that it has ${length} bytes`)
    const handle = read.u16le('handle of a structure')
    const area = read.take(length - HEADER_BYTES, `structure of type ${type}`)
    found.push(structureOf(type, handle, area, stringsOf(read)))
    if (type === END_OF_TABLE) break
  }
  return found
}

/** Strings end with a NUL each, their list with one more; a structure without strings has two NULs. */
function stringsOf(read: Reader): string[] {
  const strings: string[] = []
  for (;;) {
    const bytes = read.untilNul(MAX_TABLE_BYTES, 'a string')
    if (bytes.length === 0) break
    strings.push(Buffer.from(bytes).toString('latin1'))
  }
  // The second NUL of a structure without strings.
  if (strings.length === 0) read.skip(1, 'the end of the strings')
  return strings
}

function structureOf(type: number, handle: number, area: Uint8Array, strings: readonly string[]): Structure {
  const view = new DataView(area.buffer, area.byteOffset, area.byteLength)
  const at = <T>(offset: number, width: number, get: (from: number) => T): T | undefined => {
    const from = offset - HEADER_BYTES
    return from >= 0 && from + width <= area.length ? get(from) : undefined
  }
  const u8 = (offset: number) => at(offset, 1, (from) => view.getUint8(from))
  return {
    type,
    handle,
    u8,
    u16: (offset) => at(offset, 2, (from) => view.getUint16(from, true)),
    u32: (offset) => at(offset, 4, (from) => view.getUint32(from, true)),
    u64: (offset) => at(offset, 8, (from) => view.getBigUint64(from, true)),
    bytes: (offset, length) => at(offset, length, (from) => area.subarray(from, from + length)),
    text(offset) {
      const number = u8(offset) ?? 0
      const text = (strings[number - 1] ?? '').replace(/[^\x20-\x7e]/g, ' ').trim()
      return FILLER.test(text) ? undefined : text
    },
  }
}
