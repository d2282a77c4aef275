/** FRU inventory (Platform Management FRU Information Storage Definition v1.0 rev 1.3): who made the chassis, board and product. */
import { Reader } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import { checksum } from './message.ts'
import { END_OF_FIELDS, FRU_TEXT, readTextField } from './text-field.ts'

/** Areas count in units of eight bytes. */
const UNIT_BYTES = 8
export const FRU_HEADER_BYTES = 8
const FORMAT_VERSION = 1
/** Minutes of the board's date count from 1996-01-01T00:00Z (§11). */
const BOARD_EPOCH_MS = Date.UTC(1996, 0, 1)
/** More fields than this in one area are somebody's mistake. */
const MAX_FIELDS = 64

const CHASSIS_FIELDS = ['partNumber', 'serial'] as const
const BOARD_FIELDS = ['manufacturer', 'name', 'serial', 'partNumber', 'fruFileId'] as const
const PRODUCT_FIELDS = ['manufacturer', 'name', 'partNumber', 'version', 'serial', 'assetTag', 'fruFileId'] as const

type Fields<N extends string> = { readonly [K in N]?: string } & {
  /** Fields of the maker's own, in their order. */
  readonly custom: string[]
}

export interface Fru {
  /** `type` is a number of the SMBIOS table of chassis types. */
  readonly chassis?: Fields<(typeof CHASSIS_FIELDS)[number]> & { readonly type: number }
  readonly board?: Fields<(typeof BOARD_FIELDS)[number]> & { readonly madeAtMs?: number }
  readonly product?: Fields<(typeof PRODUCT_FIELDS)[number]>
  /** Areas that could not be read, and why. */
  readonly problems: readonly string[]
}

/**
 * Parses an inventory. An area that is broken is left out and named in `problems`: the others are still worth having.
 * @param bytes the whole inventory, or as much of it as holds the areas
 * @throws {WireError} when the common header is cut short, of another version, or its checksum is wrong
 */
export function parseFru(bytes: Uint8Array): Fru {
  const offsets = parseFruHeader(bytes)
  const problems: string[] = []
  const area = <T>(name: 'chassis' | 'board' | 'product', parse: (r: Reader) => T): Record<string, T> => {
    const offset = offsets[name]
    if (offset === 0) return {}
    try {
      return { [name]: parse(areaReader(bytes, offset, name)) }
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      problems.push(error.message)
      return {}
    }
  }
  return {
    ...area('chassis', (r) => ({ type: r.u8('chassis type'), ...parseFields(r, CHASSIS_FIELDS) })),
    ...area('board', parseBoard),
    ...area('product', (r) => {
      r.skip(1, 'language')
      return parseFields(r, PRODUCT_FIELDS)
    }),
    problems,
  }
}

/** Byte offsets of the areas; 0 where there is none. */
export function parseFruHeader(bytes: Uint8Array): { chassis: number; board: number; product: number } {
  const r = new Reader(bytes, 'FRU header')
  const header = r.take(FRU_HEADER_BYTES, 'header')
  const version = header[0]! & 0x0f
  if (version !== FORMAT_VERSION) throw new WireError('FRU header', `format version ${version}, not ${FORMAT_VERSION}`)
  if (checksum(header) !== 0) throw new WireError('FRU header', 'checksum is wrong')
  return { chassis: header[2]! * UNIT_BYTES, board: header[3]! * UNIT_BYTES, product: header[4]! * UNIT_BYTES }
}

/** A reader behind the version and length of an area whose checksum is right. */
function areaReader(bytes: Uint8Array, offset: number, name: string): Reader {
  const what = `FRU ${name} area`
  const start = new Reader(bytes.subarray(Math.min(offset, bytes.length)), what)
  const version = start.u8('version') & 0x0f
  if (version !== FORMAT_VERSION) throw new WireError(what, `format version ${version}, not ${FORMAT_VERSION}`)
  const length = start.u8('length') * UNIT_BYTES
  const whole = new Reader(bytes.subarray(offset), what).take(length, 'area')
  if (checksum(whole) !== 0) throw new WireError(what, 'checksum is wrong')
  const r = new Reader(whole, what)
  r.skip(2)
  return r
}

function parseBoard(r: Reader): NonNullable<Fru['board']> {
  r.skip(1, 'language')
  const minutes = r.u8('date') | (r.u8('date') << 8) | (r.u8('date') << 16)
  return {
    ...(minutes === 0 ? {} : { madeAtMs: BOARD_EPOCH_MS + minutes * 60_000 }),
    ...parseFields(r, BOARD_FIELDS),
  }
}

/** Fields up to the one that ends the list: those with names, then the maker's own. Empty ones are left out. */
function parseFields<N extends string>(r: Reader, names: readonly N[]): Fields<N> {
  const named: { [K in N]?: string } = {}
  const custom: string[] = []
  for (let n = 0; ; n++) {
    if (n >= MAX_FIELDS) throw new WireError('FRU area', `more than ${MAX_FIELDS} fields`)
    const text = readField(r)
    if (text === undefined) break
    if (text === '') continue
    const name = names[n]
    if (name === undefined) custom.push(text)
    else named[name] = text
  }
  return { ...named, custom }
}

/** Undefined at the end of the list. An area that is full without an end is one as well: some makers leave it off. */
function readField(r: Reader): string | undefined {
  if (r.left <= 1 || r.peek() === END_OF_FIELDS) return undefined
  return readTextField(r, FRU_TEXT)
}
