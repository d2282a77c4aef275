/** Commands of the sensor function (IPMI v2.0 rev 1.1 §35). */
import { Reader, Writer } from '../../base/bytes.ts'
import { command, oneByte, type Codec } from './command.ts'
import { NET_FN } from './message.ts'
import { parseFactors, type Factors } from './sensor-reading.ts'

export interface RawReading {
  readonly raw: number
  /** The BMC has no valid reading now: the sensor is absent, or being updated. */
  readonly isAvailable: boolean
  readonly isScanning: boolean
  /** Threshold sensors: bit 0 to 5 as in THRESHOLDS. Discrete ones: bit n says that state n is asserted. */
  readonly states: number
}

const reading: Codec<RawReading> = {
  read(bytes) {
    const r = new Reader(bytes, 'Sensor Reading')
    const raw = r.u8('reading')
    const flags = r.u8('flags')
    const low = r.left > 0 ? r.u8() : 0
    const high = r.left > 0 ? r.u8() & 0x7f : 0
    return {
      raw,
      isAvailable: (flags & 0x20) === 0,
      isScanning: (flags & 0x40) !== 0,
      states: low | (high << 8),
    }
  },
  write: (v) =>
    new Writer()
      .u8(v.raw)
      .u8((v.isAvailable ? 0 : 0x20) | (v.isScanning ? 0x40 : 0))
      .u16le(v.states)
      .done(),
}

const factorsRequest: Codec<{ sensor: number; raw: number }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Get Sensor Reading Factors')
    return { sensor: r.u8('sensor'), raw: r.u8('reading') }
  },
  write: (q) => Uint8Array.of(q.sensor, q.raw),
}
const factorsAnswer: Codec<Factors> = {
  read(bytes) {
    const r = new Reader(bytes, 'Sensor Reading Factors')
    r.skip(1, 'next reading')
    return parseFactors(r.take(6, 'factors'))
  },
  write: ({ m, b, bExponent, resultExponent }) =>
    Uint8Array.of(
      0,
      m & 0xff,
      (m >> 2) & 0xc0,
      b & 0xff,
      (b >> 2) & 0xc0,
      0,
      ((resultExponent & 0x0f) << 4) | (bExponent & 0x0f),
    ),
}

export const SENSOR_COMMANDS = {
  getSensorFactors: command(
    'Get Sensor Reading Factors',
    NET_FN.sensor,
    0x23,
    'user',
    true,
    '§35.5',
    factorsRequest,
    factorsAnswer,
  ),
  getSensorReading: command(
    'Get Sensor Reading',
    NET_FN.sensor,
    0x2d,
    'user',
    true,
    '§35.14',
    oneByte('sensor'),
    reading,
  ),
} as const
