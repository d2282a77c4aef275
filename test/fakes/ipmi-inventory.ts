/**
 * Sensors, FRU and event log of a machine, as bytes: what ipmi_sim is given (`main_sdr_add`, `sensor_add`, `mc_add_fru_data`,
 * `sel_add`) and what a fake BMC of ours answers with. Written by the tables of the standards, not by our parsers.
 */
import { checksum } from '../../src/wire/ipmi/message.ts'

export interface SimSensor {
  readonly number: number
  readonly sensorType: number
  readonly readingType: number
  /** The raw reading of a threshold sensor. */
  readonly raw?: number
  /** Upper non-recoverable, critical, non-critical; lower non-recoverable, critical, non-critical. */
  readonly thresholds?: readonly number[]
  /** Asserted states of a discrete one. */
  readonly states?: readonly number[]
}

export interface SimInventory {
  readonly sdrs: readonly Uint8Array[]
  readonly sensors: readonly SimSensor[]
  readonly fru: Uint8Array
  /** Record type and 13 bytes. */
  readonly sel: readonly (readonly number[])[]
}

const ascii = (text: string) => [0xc0 | text.length, ...Buffer.from(text, 'latin1')]

interface FullSensor {
  readonly number: number
  readonly name: string
  readonly sensorType: number
  readonly unit: readonly [number, number, number]
  readonly linearization?: number
  readonly m: number
  readonly b?: number
  readonly bExponent?: number
  readonly resultExponent?: number
  /** Upper non-recoverable, critical, non-critical; lower non-recoverable, critical, non-critical. */
  readonly thresholds?: readonly number[]
}

/** Table 43-1. */
function full(s: FullSensor, recordId: number): Uint8Array {
  const { b = 0, bExponent = 0, resultExponent = 0, thresholds } = s
  const body = [0x20, 0, s.number, 7, s.number, 0x7f, thresholds ? 0x68 : 0x60, s.sensorType, 1]
  body.push(0, 0, 0, 0, thresholds ? 0x3f : 0, 0)
  body.push(...s.unit, s.linearization ?? 0)
  body.push(
    s.m & 0xff,
    (s.m >> 2) & 0xc0,
    b & 0xff,
    (b >> 2) & 0xc0,
    0,
    ((resultExponent & 15) << 4) | (bExponent & 15),
  )
  body.push(0, 0, 0, 0, 255, 0, ...(thresholds ?? [0, 0, 0, 0, 0, 0]), 0, 0, 0, 0, 0, ...ascii(s.name))
  return record(recordId, 0x01, body)
}

/** Table 43-2. */
function compact(number: number, name: string, sensorType: number, readingType: number, recordId: number): Uint8Array {
  const body = [0x20, 0, number, 7, number, 0x67, 0x40, sensorType, readingType, 0, 0, 0, 0, 0xff, 0, 0xc0, 0, 0]
  body.push(1, 0, 0, 0, 0, 0, 0, 0, ...ascii(name))
  return record(recordId, 0x02, body)
}

function record(recordId: number, type: number, body: readonly number[]): Uint8Array {
  return Uint8Array.of(recordId & 0xff, recordId >> 8, 0x51, type, body.length, ...body)
}

/** An area of the FRU storage definition: padded to eight bytes, with its checksum. */
function area(body: readonly number[]): number[] {
  const fields = [...body, 0xc1]
  const length = Math.ceil((fields.length + 3) / 8) * 8
  const whole = [1, length / 8, ...fields, ...Array<number>(length - 3 - fields.length).fill(0)]
  return [...whole, checksum(Uint8Array.from(whole))]
}

/** Minutes from 1996 to 2024-03-01T12:00Z. */
const MADE = (Date.UTC(2024, 2, 1, 12) - Date.UTC(1996, 0, 1)) / 60_000

/** `2024-03177` in BCD plus: freeipmi knows no blank in it. */
const BCD_PART = [0x45, 0x20, 0x24, 0xb0, 0x31, 0x77]
/** `BOX 7` in packed six-bit ASCII, padded with a blank to four characters twice. */
const SIX_BIT_BOX_7 = [0x86, ...packed('BOX 7   ')]

function packed(text: string): number[] {
  const bytes: number[] = []
  for (let at = 0; at < text.length; at += 4) {
    const [a, b, c, d] = Array.from(text.slice(at, at + 4), (character) => character.charCodeAt(0) - 0x20)
    const bits = a! | (b! << 6) | (c! << 12) | (d! << 18)
    bytes.push(bits & 0xff, (bits >> 8) & 0xff, bits >> 16)
  }
  return bytes
}

export function simFru(): Uint8Array {
  const chassis = area([0x17, ...SIX_BIT_BOX_7, ...ascii('CH0001')])
  const date = [MADE & 0xff, (MADE >> 8) & 0xff, MADE >> 16]
  const board = area([0x19, ...date, ...ascii('Hull'), ...ascii('Keel 9'), ...ascii('B123'), ...BCD_PART, 0xc0])
  const product = area([
    0x19,
    ...ascii('Charter'),
    ...ascii('Sloop 12'),
    ...ascii('SL-12'),
    ...ascii('1.2'),
    ...ascii('SN-778'),
    ...ascii('asset 5'),
    0xc0,
    ...ascii('berth 3'),
  ])
  const offsets = [1, 1 + chassis.length / 8, 1 + (chassis.length + board.length) / 8]
  const header = [1, 0, ...offsets, 0, 0]
  return Uint8Array.of(...header, checksum(Uint8Array.from(header)), ...chassis, ...board, ...product)
}

const SENSORS: readonly (FullSensor & { readonly raw: number })[] = [
  // 38 degrees: over the non-critical threshold of 35. Not in two's complement: ipmi_sim compares raw bytes without a sign.
  {
    number: 1,
    name: 'Inlet Temp',
    sensorType: 1,
    unit: [0, 1, 0],
    m: 1,
    b: -100,
    raw: 138,
    thresholds: [150, 145, 135, 85, 90, 95],
  },
  {
    number: 2,
    name: 'Fan 1',
    sensorType: 4,
    unit: [0, 18, 0],
    m: 60,
    raw: 100,
    thresholds: [255, 250, 240, 5, 10, 20],
  },
  { number: 3, name: '12V', sensorType: 2, unit: [0, 4, 0], m: 6, b: 12, bExponent: 1, resultExponent: -2, raw: 180 },
  { number: 4, name: 'PSU Power', sensorType: 0x0b, unit: [0, 6, 0], m: 2, raw: 90 },
  { number: 5, name: 'Load', sensorType: 0x0b, unit: [1, 0, 0], m: 5, resultExponent: -1, raw: 84 },
  { number: 6, name: 'Squared', sensorType: 3, unit: [0, 5, 0], linearization: 8, m: 1, resultExponent: -1, raw: 30 },
]

export const SIM_INVENTORY: SimInventory = {
  sdrs: [
    ...SENSORS.map((sensor, n) => full(sensor, n + 1)),
    compact(16, 'Intrusion', 0x05, 0x6f, 7),
    compact(17, 'PS1 Status', 0x08, 0x6f, 8),
    // A logical FRU, and the controller itself.
    record(9, 0x11, [0x20, 0, 0x80, 0, 0, 0x10, 0, 7, 1, 0, ...ascii('System')]),
    record(10, 0x12, [0x20, 0, 0, 0x0f, 0, 0, 0, 7, 1, 0, ...ascii('BMC')]),
  ],
  sensors: [
    ...SENSORS.map(({ number, sensorType, raw, thresholds }) => ({
      number,
      sensorType,
      readingType: 1,
      raw,
      ...(thresholds ? { thresholds } : {}),
    })),
    { number: 16, sensorType: 0x05, readingType: 0x6f, states: [0] },
    { number: 17, sensorType: 0x08, readingType: 0x6f, states: [0, 3] },
  ],
  fru: simFru(),
  sel: [
    // Inlet temperature: upper non-critical going high, reading 38, threshold 35, 2024-03-01T12:00:00Z.
    [0x02, 0xc0, 0xc3, 0xe1, 0x65, 0x20, 0x00, 0x04, 0x01, 0x01, 0x01, 0x57, 138, 135],
    // Power supply: input lost, asserted.
    [0x02, 0xd0, 0xc3, 0xe1, 0x65, 0x20, 0x00, 0x04, 0x08, 0x11, 0x6f, 0x03, 0xff, 0xff],
    // A maker's own entry with a time.
    [0xc1, 0xe0, 0xc3, 0xe1, 0x65, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09],
  ],
}
