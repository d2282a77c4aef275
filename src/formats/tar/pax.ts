/** PAX extended headers: records of `LENGTH KEY=VALUE\n` (POSIX.1-2017 pax, "pax Extended Header"). */
import { byteString, type ByteString } from './byte-string.ts'
import { HeaderError } from './header.ts'

/** Records by key. Values are bytes; GNU sparse 0.0 repeats two keys, whose values are gathered into `sparsePairs`. */
export interface PaxRecords {
  readonly values: Map<ByteString, Uint8Array>
  /** Offset, length, offset, length… of GNU.sparse.offset and GNU.sparse.numbytes, as decimal text. */
  readonly sparsePairs: readonly ByteString[]
}

/**
 * Reads all records of an extended header. A key that comes twice has its last value; an empty value means "as if the key
 * were not there".
 * @throws {HeaderError} when a record breaks the grammar
 */
export function parsePax(bytes: Buffer): PaxRecords {
  const values = new Map<ByteString, Uint8Array>()
  const sparsePairs: ByteString[] = []
  for (let at = 0; at < bytes.length;) {
    const record = recordAt(bytes, at)
    at = record.end
    if (!gatherSparse(record, sparsePairs)) values.set(record.key, record.value)
  }
  if (sparsePairs.length % 2 !== 0) throw new HeaderError('GNU.sparse.offset without GNU.sparse.numbytes')
  return { values, sparsePairs }
}

interface PaxRecord {
  readonly key: ByteString
  readonly value: Uint8Array
  readonly end: number
}

function recordAt(bytes: Buffer, at: number): PaxRecord {
  const space = bytes.indexOf(0x20, at)
  const digits = space < 0 || space - at > 9 ? '' : bytes.toString('latin1', at, space)
  if (!/^[0-9]+$/.test(digits)) throw new HeaderError('a PAX record does not begin with its length')
  const end = at + Number(digits)
  if (end <= space + 1 || end > bytes.length || bytes[end - 1] !== 0x0a)
    throw new HeaderError(`a PAX record of ${digits} bytes does not end in a newline there`)
  const equals = bytes.indexOf(0x3d, space)
  if (equals < 0 || equals >= end) throw new HeaderError('a PAX record without "="')
  const key = bytes.toString('latin1', space + 1, equals)
  if (key === '' || key.includes('\0')) throw new HeaderError('a PAX record with an empty key, or a NUL in it')
  return { key, value: bytes.subarray(equals + 1, end - 1), end }
}

function gatherSparse({ key, value }: PaxRecord, pairs: ByteString[]): boolean {
  if (key !== 'GNU.sparse.offset' && key !== 'GNU.sparse.numbytes') return false
  const isOffset = key === 'GNU.sparse.offset'
  if (isOffset !== (pairs.length % 2 === 0)) throw new HeaderError(`${key} out of turn`)
  pairs.push(byteString(value))
  return true
}

/** @throws {HeaderError} when it is not a decimal number of 0 to 2^53 - 1; a leading plus is allowed, as Go allows it */
export function decimal(value: ByteString, field: string): number {
  const result = /^\+?[0-9]{1,40}$/.test(value) ? Number(value) : NaN
  if (!Number.isSafeInteger(result)) throw new HeaderError(`${field} is not a number of bytes or an id`)
  return result
}

/** Seconds rounded down, and nanoseconds from there on; digits beyond nanoseconds are cut. @throws {HeaderError} */
export function paxTime(value: ByteString): { seconds: number; nanoseconds: number } {
  const match = /^(-?)([0-9]{1,16})(?:\.([0-9]*))?$/.exec(value)
  const whole = match ? Number(match[2]) : NaN
  if (!match || !Number.isSafeInteger(whole)) throw new HeaderError('mtime is not a time')
  const nanoseconds = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'))
  if (match[1] === '') return { seconds: whole, nanoseconds }
  return nanoseconds === 0
    ? { seconds: 0 - whole, nanoseconds: 0 }
    : { seconds: -whole - 1, nanoseconds: 1_000_000_000 - nanoseconds }
}
