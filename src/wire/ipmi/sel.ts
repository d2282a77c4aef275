/** Entries of the system event log (IPMI v2.0 rev 1.1 §32). */
import { Reader } from '../../base/bytes.ts'
import { toHex } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

export const SEL_ENTRY_BYTES = 16
/** Times below this count seconds since the BMC began to run, not since 1970 (§37.1). */
export const FIRST_CLOCK_SECONDS = 0x2000_0000
/** "I do not know the time." */
export const NO_TIME = 0xffff_ffff

export type SelEntry =
  | {
      readonly kind: 'event'
      readonly recordId: number
      readonly atSeconds: number
      /** Slave address or software id of who reported it. */
      readonly generator: number
      readonly sensorType: number
      readonly sensor: number
      readonly isAsserted: boolean
      /** Table 42-1: 1 thresholds, 2 to 0Ch generic, 6Fh by sensor type. */
      readonly readingType: number
      /** Which state of the type. */
      readonly offset: number
      /** The reading and the threshold that it crossed, where event data 2 and 3 hold them. */
      readonly reading?: number
      readonly threshold?: number
      readonly data: readonly [number, number, number]
    }
  | {
      readonly kind: 'oem'
      readonly recordId: number
      readonly type: number
      readonly atSeconds?: number
      readonly hex: string
    }

const EVENT = 0x02
const OEM_WITH_TIME = 0xc0
const OEM = 0xe0

/** @throws {WireError} when it is not 16 bytes, or of a reserved type */
export function parseSelEntry(bytes: Uint8Array): SelEntry {
  if (bytes.length !== SEL_ENTRY_BYTES)
    throw new WireError('SEL entry', `${bytes.length} bytes, not ${SEL_ENTRY_BYTES}`)
  const r = new Reader(bytes, 'SEL entry')
  const recordId = r.u16le('record id')
  const type = r.u8('type')
  if (type >= OEM) return { kind: 'oem', recordId, type, hex: toHex(r.rest()) }
  if (type >= OEM_WITH_TIME) return { kind: 'oem', recordId, type, atSeconds: r.u32le('time'), hex: toHex(r.rest()) }
  if (type !== EVENT) throw new WireError('SEL entry', `type 0x${type.toString(16)} is reserved`)
  const atSeconds = r.u32le('time')
  const generator = r.u16le('generator') & 0xff
  r.skip(1, 'revision')
  const sensorType = r.u8('sensor type')
  const sensor = r.u8('sensor')
  const direction = r.u8('event type')
  const readingType = direction & 0x7f
  const [one, two, three] = [r.u8('data 1'), r.u8('data 2'), r.u8('data 3')]
  const isThreshold = readingType === 0x01
  return {
    kind: 'event',
    recordId,
    atSeconds,
    generator,
    sensorType,
    sensor,
    isAsserted: (direction & 0x80) === 0,
    readingType,
    offset: one & 0x0f,
    ...(isThreshold && one >> 6 === 1 ? { reading: two } : {}),
    ...(isThreshold && ((one >> 4) & 0x03) === 1 ? { threshold: three } : {}),
    data: [one, two, three],
  }
}
