/**
 * Directory records (ECMA-119 §9.1) with what Rock Ridge adds to them (IEEE P1282 draft 1.12, in SUSP P1281 1.12): the full name,
 * the mode and the time.
 */
import { Writer } from '../../base/bytes.ts'

export const SECTOR_BYTES = 2048
export const FLAGS = { directory: 0x02, goesOn: 0x80 } as const
const MAX_RECORD_BYTES = 254

/** The identifiers of a directory itself and of the one that it is in. */
export const SELF = '\0'
export const PARENT = '\x01'

export interface RecordFields {
  readonly identifier: string
  /** First sector and length in bytes of what it stands for. */
  readonly lba: number
  readonly sizeBytes: number
  readonly flags: number
  /** Since 1970. */
  readonly seconds: number
  /** Of Rock Ridge, in the order in which they stand. */
  readonly extra?: Uint8Array
}

export function directoryRecord({ identifier, lba, sizeBytes, flags, seconds, extra }: RecordFields): Uint8Array {
  const name = Buffer.from(identifier, 'latin1')
  const padding = name.length % 2 === 0 ? 1 : 0
  const own = 33 + name.length + padding
  const length = own + (extra?.length ?? 0)
  const out = new Writer(length)
  out.u8(length + (length % 2)).u8(0)
  u32both(out, lba)
  u32both(out, sizeBytes)
  out.bytes(shortTime(seconds)).u8(flags).u8(0).u8(0)
  u16both(out, 1)
  out.u8(name.length).bytes(name).zeros(padding)
  if (extra !== undefined) out.bytes(extra)
  return out.align(2).done()
}

/** PX, TF and NM. @param name undefined for a directory's record of itself  @param links of Unix, 2 and more for a directory */
export function rockRidge(name: string | undefined, isFolder: boolean, links: number, seconds: number): Uint8Array {
  const out = new Writer()
  out.utf8('PX').u8(36).u8(1)
  u32both(out, isFolder ? 0o040555 : 0o100444)
  u32both(out, links)
  u32both(out, 0)
  u32both(out, 0)
  // One time: of the last change of the data.
  out.utf8('TF').u8(12).u8(1).u8(0x02).bytes(shortTime(seconds))
  if (name !== undefined) {
    const bytes = Buffer.from(name)
    out
      .utf8('NM')
      .u8(5 + bytes.length)
      .u8(1)
      .u8(0)
      .bytes(bytes)
  }
  return out.done()
}

/** The longest name, in bytes of UTF-8, that fits into a record whose identifier has 14 bytes. */
export const MAX_NAME_BYTES = MAX_RECORD_BYTES - (33 + 14 + 1) - 36 - 12 - 5

/** SP, which says that there are such fields, in the record of the root of itself; CE leads to ER in a sector of its own. */
export function rootFields(extensionLba: number): Uint8Array {
  const out = new Writer().utf8('SP').u8(7).u8(1).u8(0xbe).u8(0xef).u8(0)
  out.utf8('CE').u8(28).u8(1)
  u32both(out, extensionLba)
  u32both(out, 0)
  u32both(out, extensionFields().length)
  return out.done()
}

/** ER: which extension it is. */
export function extensionFields(): Uint8Array {
  const id = 'RRIP_1991A'
  const text = 'THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS'
  const source =
    'PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION.'
  const out = new Writer()
    .utf8('ER')
    .u8(8 + id.length + text.length + source.length)
    .u8(1)
  return out.u8(id.length).u8(text.length).u8(source.length).u8(1).utf8(id).utf8(text).utf8(source).done()
}

/** ECMA-119 §9.1.5, UTC; years 1900 to 2155. */
function shortTime(seconds: number): Uint8Array {
  const at = new Date(Math.min(Math.max(seconds, 0), Date.UTC(2155, 11, 31) / 1000) * 1000)
  return Uint8Array.of(
    at.getUTCFullYear() - 1900,
    at.getUTCMonth() + 1,
    at.getUTCDate(),
    at.getUTCHours(),
    at.getUTCMinutes(),
    at.getUTCSeconds(),
    0,
  )
}

/** Numbers in both orders, as §7.2.3 and §7.3.3 have them. */
export function u16both(out: Writer, value: number): Writer {
  return out.u16le(value).u16(value)
}

export function u32both(out: Writer, value: number): Writer {
  return out.u32le(value).u32(value)
}
