/** Sensor data records (IPMI v2.0 rev 1.1 §43): full, compact and event-only sensors, locators of FRUs and of other controllers. */
import { Reader } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import { parseFactors, unitName, type AnalogFormat } from './sensor-reading.ts'
import { readTextField, SDR_TEXT } from './text-field.ts'

export const SDR_HEADER_BYTES = 5
/** Longest record: a header, and a length of one byte. */
export const MAX_SDR_BYTES = SDR_HEADER_BYTES + 0xff

export const RECORD_TYPE = { full: 0x01, compact: 0x02, 'event-only': 0x03, fru: 0x11, controller: 0x12 } as const

/** In the order of the bits in readings and masks (table 35-15); the bytes of a full record have them from bit 5 down, by threes. */
export const THRESHOLDS = [
  'lowerNonCritical',
  'lowerCritical',
  'lowerNonRecoverable',
  'upperNonCritical',
  'upperCritical',
  'upperNonRecoverable',
] as const
export type Threshold = (typeof THRESHOLDS)[number]

/** Event/reading type 1: a sensor whose states are its thresholds (table 42-1). */
export const THRESHOLD_TYPE = 0x01

export interface SdrHeader {
  readonly recordId: number
  readonly type: number
  /** Bytes after the header. */
  readonly length: number
}

interface SensorRecord {
  /** Slave address of the controller that has the sensor, or a software id. */
  readonly owner: number
  readonly lun: number
  readonly channel: number
  readonly number: number
  readonly entity: number
  readonly entityInstance: number
  /** Table 42-3. */
  readonly sensorType: number
  /** Table 42-1. */
  readonly readingType: number
  readonly name: string
}

export type Sdr =
  | ({
      readonly kind: 'full'
      readonly unit: string
      /** Undefined where readings are no numbers. */
      readonly analog: AnalogFormat | undefined
      /** Raw values of the thresholds that can be read. */
      readonly thresholds: Readonly<Partial<Record<Threshold, number>>>
    } & SensorRecord)
  | ({ readonly kind: 'compact' } & SensorRecord)
  | ({ readonly kind: 'event-only' } & SensorRecord)
  | {
      readonly kind: 'fru'
      readonly controller: number
      readonly fruId: number
      /** Read by the FRU commands; otherwise it is an EEPROM on a bus behind the controller. */
      readonly isLogical: boolean
      readonly lun: number
      readonly channel: number
      readonly entity: number
      readonly name: string
    }
  | {
      readonly kind: 'controller'
      readonly controller: number
      readonly channel: number
      readonly entity: number
      readonly hasFru: boolean
      readonly name: string
    }
  | { readonly kind: 'other'; readonly type: number }

/** @throws {WireError} when cut short */
export function parseSdrHeader(bytes: Uint8Array): SdrHeader {
  const r = new Reader(bytes, 'SDR header')
  const recordId = r.u16le('record id')
  r.skip(1, 'version')
  return { recordId, type: r.u8('type'), length: r.u8('length') }
}

/**
 * Parses a whole record. Types that we do not use are `other`.
 * @throws {WireError} when cut short, or longer than it says
 */
export function parseSdr(bytes: Uint8Array): Sdr {
  const { type, length } = parseSdrHeader(bytes)
  if (bytes.length !== SDR_HEADER_BYTES + length)
    throw new WireError('SDR', `${bytes.length - SDR_HEADER_BYTES} bytes after the header, which says ${length}`)
  const r = new Reader(bytes, 'SDR')
  r.skip(SDR_HEADER_BYTES)
  switch (type) {
    case RECORD_TYPE.full:
      return parseFull(r)
    case RECORD_TYPE.compact: {
      const { hasReadableThresholds: _, ...sensor } = parseSensor(r)
      r.skip(17, 'masks, units and sharing')
      return { kind: 'compact', ...sensor, name: readTextField(r, SDR_TEXT) }
    }
    case RECORD_TYPE['event-only']:
      return parseEventOnly(r)
    case RECORD_TYPE.fru:
      return parseFruLocator(r)
    case RECORD_TYPE.controller:
      return parseControllerLocator(r)
    default:
      return { kind: 'other', type }
  }
}

/** What full and compact records begin with, up to the event/reading type; the offset is then 14. */
function parseSensor(r: Reader): Omit<SensorRecord, 'name'> & { readonly hasReadableThresholds: boolean } {
  const key = parseKey(r)
  r.skip(1, 'initialization')
  const capabilities = r.u8('capabilities')
  return {
    ...key,
    hasReadableThresholds: ((capabilities >> 2) & 0x03) === 1 || ((capabilities >> 2) & 0x03) === 2,
    sensorType: r.u8('sensor type'),
    readingType: r.u8('event/reading type') & 0x7f,
  }
}

function parseKey(r: Reader) {
  const owner = r.u8('owner')
  const channelAndLun = r.u8('owner LUN')
  return {
    owner,
    lun: channelAndLun & 0x03,
    channel: channelAndLun >> 4,
    number: r.u8('sensor number'),
    entity: r.u8('entity'),
    entityInstance: r.u8('entity instance') & 0x7f,
  }
}

function parseFull(r: Reader): Sdr {
  const { hasReadableThresholds, ...sensor } = parseSensor(r)
  r.skip(4, 'event masks')
  const readable = r.u8('readable thresholds')
  r.skip(1, 'settable thresholds')
  const units = r.take(3, 'units')
  const linearization = r.u8('linearization') & 0x7f
  const factors = parseFactors(r.take(6, 'factors'))
  r.skip(6, 'nominal, normal and limits')
  // On the wire from upper non-recoverable down to upper non-critical, then the lower ones in the same way.
  const order: Threshold[] = [
    'upperNonRecoverable',
    'upperCritical',
    'upperNonCritical',
    'lowerNonRecoverable',
    'lowerCritical',
    'lowerNonCritical',
  ]
  const thresholds: Partial<Record<Threshold, number>> = {}
  for (const threshold of order) {
    const raw = r.u8(threshold)
    const isReadable = hasReadableThresholds && ((readable >> THRESHOLDS.indexOf(threshold)) & 1) !== 0
    if (isReadable && sensor.readingType === THRESHOLD_TYPE) thresholds[threshold] = raw
  }
  r.skip(5, 'hysteresis and OEM')
  return {
    kind: 'full',
    ...sensor,
    unit: unitName(units),
    analog: analogFormat(units[0]!, linearization, factors),
    thresholds,
    name: readTextField(r, SDR_TEXT),
  }
}

function analogFormat(
  flags: number,
  linearization: number,
  factors: AnalogFormat['factors'],
): AnalogFormat | undefined {
  const form = (['unsigned', 'ones-complement', 'twos-complement', undefined] as const)[flags >> 6]
  return form && { form, linearization, factors }
}

function parseEventOnly(r: Reader): Sdr {
  const key = parseKey(r)
  const sensorType = r.u8('sensor type')
  const readingType = r.u8('event/reading type') & 0x7f
  r.skip(4, 'sharing and OEM')
  return { kind: 'event-only', ...key, sensorType, readingType, name: readTextField(r, SDR_TEXT) }
}

function parseFruLocator(r: Reader): Sdr {
  const controller = r.u8('access address')
  const fruId = r.u8('FRU id')
  const access = r.u8('access')
  const channel = r.u8('channel') >> 4
  r.skip(3, 'device type')
  const entity = r.u8('entity')
  r.skip(2, 'entity instance and OEM')
  return {
    kind: 'fru',
    controller,
    fruId,
    isLogical: (access & 0x80) !== 0,
    lun: (access >> 3) & 0x03,
    channel,
    entity,
    name: readTextField(r, SDR_TEXT),
  }
}

function parseControllerLocator(r: Reader): Sdr {
  const controller = r.u8('slave address')
  const channel = r.u8('channel') & 0x0f
  r.skip(1, 'power state notification')
  const hasFru = (r.u8('capabilities') & 0x08) !== 0
  r.skip(3, 'reserved')
  const entity = r.u8('entity')
  r.skip(2, 'entity instance and OEM')
  return { kind: 'controller', controller, channel, entity, hasFru, name: readTextField(r, SDR_TEXT) }
}
