/** What Rock Ridge says of a directory record (IEEE P1281 SUSP 1.12, P1282 RRIP 1.12). */
import { Reader } from '../../base/bytes.ts'

export interface RockRidge {
  /** UTF-8, each byte a character: pieces of it may end within one. */
  readonly name: string | undefined
  readonly kind: 'file' | 'symlink' | 'other' | undefined
  /** The record stands for a directory that was moved elsewhere. */
  readonly isMoved: boolean
  /** Bytes to skip before the fields of every record; in the record of the root of itself. */
  readonly skip: number | undefined
  /** Where the fields go on. */
  readonly next: { readonly lba: number; readonly offset: number; readonly length: number } | undefined
}

const WHAT = 'Rock Ridge fields'
const FORMAT_BITS = 0o170000
const [REGULAR, LINK] = [0o100000, 0o120000]
/** NM: the name is that of the directory itself, or of the one that it is in. */
const NOT_A_NAME = 0x06

/**
 * @param before what the fields before these say, where these go on
 * @returns undefined where there are none
 * @throws {WireError} when a field is longer than what is there
 */
export function rockRidgeOf(systemUse: Uint8Array, skip: number, before?: RockRidge): RockRidge | undefined {
  const reader = new Reader(systemUse.subarray(Math.min(skip, systemUse.length)), WHAT)
  const name: string[] = before?.name === undefined ? [] : [before.name]
  let kind = before?.kind
  let isMoved = before?.isMoved ?? false
  let skips = before?.skip
  let next: RockRidge['next']
  let isThere = before !== undefined
  while (reader.left >= 4) {
    const signature = reader.latin1(2)
    const length = reader.u8('length')
    if (length < 4 || !/^[A-Z]{2}$/.test(signature)) break
    reader.skip(1)
    const field = new Reader(reader.take(length - 4, signature), WHAT)
    isThere = true
    if (signature === 'ST') break
    else if (signature === 'SP') {
      field.skip(2, 'SP')
      skips = field.u8('SP')
    } else if (signature === 'NM') {
      if ((field.u8('NM') & NOT_A_NAME) === 0) name.push(field.latin1(field.left))
    } else if (signature === 'PX') {
      const format = field.u32le('PX') & FORMAT_BITS
      kind = format === REGULAR ? 'file' : format === LINK ? 'symlink' : 'other'
    } else if (signature === 'CL') isMoved = true
    else if (signature === 'CE') {
      const lba = field.u32le('CE')
      field.skip(4, 'CE')
      const offset = field.u32le('CE')
      field.skip(4, 'CE')
      next = { lba, offset, length: field.u32le('CE') }
    }
  }
  if (!isThere) return undefined
  return { name: name.length === 0 ? undefined : name.join(''), kind, isMoved, skip: skips, next }
}
