/** The 512-byte header block of tar: V7, POSIX.1-1988 ustar, GNU and star (POSIX.1-2017 pax, "ustar Interchange Format"). */
import type { ByteString } from './byte-string.ts'

export const BLOCK_BYTES = 512

export interface TarHeader {
  readonly name: ByteString
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
  readonly mtimeSeconds: number
  /** One character; NUL is V7's regular file. */
  readonly typeflag: string
  readonly linkName: ByteString
  readonly deviceMajor: number
  readonly deviceMinor: number
}

/** Why a block is not a header. The indexer adds where it is. */
export class HeaderError extends Error {
  override readonly name = 'HeaderError'
}

export function isZeroBlock(block: Buffer): boolean {
  return block.every((byte) => byte === 0)
}

/**
 * Reads one header block.
 * @throws {HeaderError} when the checksum is wrong or a number is not one
 */
export function parseHeader(block: Buffer): TarHeader {
  checkSum(block)
  const typeflag = String.fromCharCode(block[156]!)
  const isDevice = typeflag === '3' || typeflag === '4'
  return {
    name: nameIn(block),
    mode: number(block, 100, 8, 'mode'),
    uid: number(block, 108, 8, 'uid'),
    gid: number(block, 116, 8, 'gid'),
    size: number(block, 124, 12, 'size'),
    mtimeSeconds: number(block, 136, 12, 'mtime'),
    typeflag,
    linkName: text(block, 157, 100),
    // V7 has no such fields, and archivers leave rubbish in them for what is not a device.
    deviceMajor: isDevice ? number(block, 329, 8, 'device major') : 0,
    deviceMinor: isDevice ? number(block, 337, 8, 'device minor') : 0,
  }
}

/** Bytes up to the first NUL in a fixed field. */
export function text(block: Buffer, at: number, width: number): ByteString {
  const nul = block.indexOf(0, at)
  return block.toString('latin1', at, nul >= 0 && nul < at + width ? nul : at + width)
}

/**
 * A number field: octal digits between spaces and NULs (an empty field is 0), or GNU's base-256, a big-endian two's complement
 * number whose first bit is set.
 * @throws {HeaderError} when it is neither, or beyond 2^53
 */
export function number(block: Buffer, at: number, width: number, field: string): number {
  if (block[at]! >= 0x80) return base256(block, at, width, field)
  let value = 0
  let from = at
  let to = at + width
  while (from < to && isPad(block[from]!)) from += 1
  while (from < to && isPad(block[to - 1]!)) to -= 1
  for (; from < to; from += 1) {
    const digit = block[from]! - 0x30
    if (block[from] === 0) break
    if (digit < 0 || digit > 7) throw new HeaderError(`${field} is not an octal number`)
    value = value * 8 + digit
  }
  return value
}

function base256(block: Buffer, at: number, width: number, field: string): number {
  const isNegative = (block[at]! & 0x40) !== 0
  let value = BigInt(isNegative ? (block[at]! & 0x3f) - 0x40 : block[at]! & 0x3f)
  for (let index = at + 1; index < at + width; index += 1) value = value * 256n + BigInt(block[index]!)
  const result = Number(value)
  if (!Number.isSafeInteger(result)) throw new HeaderError(`${field} is beyond 2^53`)
  return result
}

function isPad(byte: number): boolean {
  return byte === 0 || byte === 0x20
}

/** The sum counts its own field as spaces; some old archivers summed signed characters. */
function checkSum(block: Buffer): void {
  let unsigned = 8 * 0x20
  let high = 0
  for (let at = 0; at < BLOCK_BYTES; at += 1) {
    if (at === 148) at = 156
    const byte = block[at]!
    unsigned += byte
    high += byte >> 7
  }
  const stated = number(block, 148, 8, 'checksum')
  if (stated !== unsigned && stated !== unsigned - 256 * high)
    throw new HeaderError(`checksum ${stated.toString(8)} where ${unsigned.toString(8)} is right (octal)`)
}

function nameIn(block: Buffer): ByteString {
  const name = text(block, 0, 100)
  const prefix = prefixIn(block)
  return prefix === '' ? name : `${prefix}/${name}`
}

function prefixIn(block: Buffer): ByteString {
  const magic = block.toString('latin1', 257, 265)
  if (magic.startsWith('ustar\0')) {
    const isStar = block.toString('latin1', 508, 512) === 'tar\0'
    return text(block, 345, isStar ? 131 : 155)
  }
  // GNU has times here. Go before 1.8 wrote GNU headers with a ustar prefix, and images of that time are still about.
  return magic === 'ustar  \0' && !hasGnuTimes(block) ? asciiPrefix(block) : ''
}

function hasGnuTimes(block: Buffer): boolean {
  try {
    number(block, 345, 12, 'atime')
    number(block, 357, 12, 'ctime')
    return true
  } catch {
    return false
  }
}

function asciiPrefix(block: Buffer): ByteString {
  const prefix = text(block, 345, 155)
  return /^[\x20-\x7e]*$/.test(prefix) ? prefix : ''
}
