/** Extended attributes in PAX records: SCHILY.xattr.NAME with the bytes as they are, LIBARCHIVE.xattr.NAME in base64. */
import { byteString, type ByteString } from './byte-string.ts'
import { HeaderError } from './header.ts'
import { NO_XATTRS } from './layer-index.ts'
import { XATTR_NAME_BYTES, XATTR_VALUE_BYTES } from './limits.ts'
import type { PaxRecords } from './pax.ts'

const SCHILY = 'SCHILY.xattr.'
const LIBARCHIVE = 'LIBARCHIVE.xattr.'

/**
 * The attributes that global and local records give an entry; SCHILY's form wins, for it needs no decoding.
 * @throws {HeaderError} when a name or value is longer than Linux allows, or base64 is none
 */
export function xattrsOf(
  globals: PaxRecords['values'],
  locals: PaxRecords['values'] | undefined,
): ReadonlyMap<ByteString, Uint8Array> {
  if (globals.size === 0 && locals === undefined) return NO_XATTRS
  const coded = new Map<ByteString, Uint8Array>()
  const plain = new Map<ByteString, Uint8Array>()
  for (const records of [globals, locals ?? new Map<ByteString, Uint8Array>()])
    for (const [key, value] of records)
      if (key.startsWith(SCHILY)) plain.set(checkedName(key.slice(SCHILY.length)), checkedValue(value))
      else if (key.startsWith(LIBARCHIVE)) coded.set(decodedName(key.slice(LIBARCHIVE.length)), decodedValue(value))
  if (coded.size + plain.size === 0) return NO_XATTRS
  return new Map([...coded, ...plain].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
}

function checkedName(name: ByteString): ByteString {
  if (name === '' || name.length > XATTR_NAME_BYTES || name.includes('\0'))
    throw new HeaderError(`an attribute name of ${name.length} bytes, 1 to ${XATTR_NAME_BYTES} without NUL`)
  return name
}

/** A copy: a record is a view on bytes that the next chunk overwrites. */
function checkedValue(value: Uint8Array): Uint8Array {
  if (value.length > XATTR_VALUE_BYTES)
    throw new HeaderError(`an attribute of ${value.length} bytes, at most ${XATTR_VALUE_BYTES}`)
  return Uint8Array.from(value)
}

function decodedName(name: ByteString): ByteString {
  return checkedName(name.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))))
}

function decodedValue(value: Uint8Array): Uint8Array {
  const text = byteString(value)
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw new HeaderError('an attribute that is not base64')
  return checkedValue(Buffer.from(text, 'base64'))
}
