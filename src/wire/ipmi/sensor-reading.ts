/** From a raw byte to a number with a unit (IPMI v2.0 rev 1.1 §36.3 "Sensor Reading Conversion Formula", table 43-1, table 43-15). */
import { Reader } from '../../base/bytes.ts'

/** y = L[(M·x + B·10^K1) · 10^K2]; M and B have ten bits, the exponents four, all signed. */
export interface Factors {
  readonly m: number
  readonly b: number
  /** K1. */
  readonly bExponent: number
  /** K2. */
  readonly resultExponent: number
}

export interface AnalogFormat {
  readonly form: 'unsigned' | 'ones-complement' | 'twos-complement'
  /** L; 0 to 11 as in LINEARIZATION. From 70h on the factors differ for each reading and are asked for. */
  readonly linearization: number
  readonly factors: Factors
}

/** The lowest number of a linearization whose factors belong to one reading only. */
export const NON_LINEAR = 0x70

const LINEARIZATION: readonly ((y: number) => number)[] = [
  (y) => y,
  Math.log,
  Math.log10,
  Math.log2,
  Math.exp,
  (y) => 10 ** y,
  (y) => 2 ** y,
  (y) => 1 / y,
  (y) => y ** 2,
  (y) => y ** 3,
  Math.sqrt,
  Math.cbrt,
]

/** Six bytes as bytes 25 to 30 of a full sensor record and the answer of Get Sensor Reading Factors have them. */
export function parseFactors(bytes: Uint8Array): Factors {
  const r = new Reader(bytes, 'sensor factors')
  const [m, mHigh, b, bHigh] = [r.u8('M'), r.u8('M'), r.u8('B'), r.u8('B')]
  r.skip(1, 'accuracy')
  const exponents = r.u8('exponents')
  return {
    m: signed(m | ((mHigh & 0xc0) << 2), 10),
    b: signed(b | ((bHigh & 0xc0) << 2), 10),
    bExponent: signed(exponents & 0x0f, 4),
    resultExponent: signed(exponents >> 4, 4),
  }
}

/**
 * The value of a raw byte, or undefined where the formula has none (1/x of 0, the logarithm of less than 0).
 * @param factors those of this one reading, where `linearization` is NON_LINEAR or more
 */
export function readingValue(raw: number, format: AnalogFormat, factors = format.factors): number | undefined {
  const x =
    format.form === 'unsigned' ? raw : signed(raw, 8) + (format.form === 'ones-complement' && raw & 0x80 ? 1 : 0)
  const { m, b, bExponent, resultExponent } = factors
  const linear = (m * x + b * 10 ** bExponent) * 10 ** resultExponent
  const value = (LINEARIZATION[format.linearization] ?? LINEARIZATION[0]!)(linear)
  return Number.isFinite(value) ? trimmed(value) : undefined
}

/** Ten digits: what powers of ten leave behind in binary goes away, and no sensor has as many. */
function trimmed(value: number): number {
  return Number(value.toPrecision(10))
}

function signed(value: number, bits: number): number {
  return value >= 1 << (bits - 1) ? value - (1 << bits) : value
}

/** Table 43-15, by number. */
const UNITS =
  'unspecified,degrees C,degrees F,degrees K,Volts,Amps,Watts,Joules,Coulombs,VA,Nits,lumen,lux,Candela,kPa,PSI,Newton,CFM,RPM,Hz,microsecond,millisecond,second,minute,hour,day,week,mil,inches,feet,cu in,cu feet,mm,cm,m,cu cm,cu m,liters,fluid ounce,radians,steradians,revolutions,cycles,gravities,ounce,pound,ft-lb,oz-in,gauss,gilberts,henry,millihenry,farad,microfarad,ohms,siemens,mole,becquerel,PPM,reserved,Decibels,DbA,DbC,gray,sievert,color temp deg K,bit,kilobit,megabit,gigabit,byte,kilobyte,megabyte,gigabyte,word,dword,qword,line,hit,miss,retry,reset,overflow,underrun,collision,packets,messages,characters,error,correctable error,uncorrectable error,fatal error,grams'.split(
    ',',
  )
const RATES = ['', 'microsecond', 'millisecond', 'second', 'minute', 'hour', 'day']

/** The unit of a full sensor record in words: `degrees C`, `RPM`, `percent`. @param bytes bytes 21 to 23 of the record */
export function unitName(bytes: Uint8Array): string {
  const [flags = 0, base = 0, modifier = 0] = bytes
  const name = (number: number) => UNITS[number] ?? `unit ${number}`
  const how = (flags >> 1) & 0x03
  const joined =
    how === 1 ? `${name(base)}/${name(modifier)}` : how === 2 ? `${name(base)}*${name(modifier)}` : name(base)
  const rate = RATES[(flags >> 3) & 0x07]
  const whole = (flags & 1) !== 0 ? (base === 0 ? 'percent' : `percent ${joined}`) : joined
  return rate ? `${whole} per ${rate}` : whole
}
