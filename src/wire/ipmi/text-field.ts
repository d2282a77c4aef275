/**
 * Text after a type/length byte, as SDR names (IPMI v2.0 rev 1.1 §43.15) and FRU fields (Platform Management FRU Information
 * Storage Definition v1.0 §13) hold it: binary, BCD plus, packed 6-bit ASCII, or 8-bit.
 */
import type { Reader } from '../../base/bytes.ts'
import { toHex } from '../../base/bytes.ts'

/** A type/length byte that ends a list of FRU fields. */
export const END_OF_FIELDS = 0xc1

const BCD_PLUS = '0123456789 -.???'

export interface TextFieldRules {
  /** Bits of the length: five in an SDR, six in a FRU field. */
  readonly lengthMask: number
  /** What type 0 is: hexadecimal digits for binary FRU fields, Latin-1 for SDR names (which call it Unicode). */
  readonly type0: 'hex' | 'latin1'
}

export const SDR_TEXT: TextFieldRules = { lengthMask: 0x1f, type0: 'latin1' }
export const FRU_TEXT: TextFieldRules = { lengthMask: 0x3f, type0: 'hex' }

/**
 * Reads a type/length byte and the text that it announces, without what pads it: NULs and blanks at the end.
 * @throws {WireError} when the text is cut short
 */
export function readTextField(r: Reader, rules: TextFieldRules): string {
  const typeLength = r.u8('type/length')
  const bytes = r.take(typeLength & rules.lengthMask, 'text')
  return decodeText(typeLength >> 6, bytes, rules).replace(/[\0 ]+$/, '')
}

function decodeText(type: number, bytes: Uint8Array, { type0 }: TextFieldRules): string {
  switch (type) {
    case 0:
      return type0 === 'hex' ? toHex(bytes) : latin1(bytes)
    case 1:
      return Array.from(bytes, (byte) => BCD_PLUS[byte >> 4]! + BCD_PLUS[byte & 0x0f]!).join('')
    case 2:
      return unpackSixBit(bytes)
    default:
      return latin1(bytes)
  }
}

/** Four characters in three bytes, the first in the lowest bits; each is an offset from a blank. */
export function unpackSixBit(bytes: Uint8Array): string {
  let text = ''
  let bits = 0
  let held = 0
  for (const byte of bytes) {
    bits |= byte << held
    held += 8
    for (; held >= 6; held -= 6, bits >>= 6) text += String.fromCharCode(0x20 + (bits & 0x3f))
  }
  return text
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
