/**
 * Names in a FAT directory: one of eight and three characters, and in front of it, where the name is another, the long one in
 * pieces of 13 characters (Microsoft "FAT: General Overview of On-Disk Format" 1.03, "Long Directory Entries").
 */
import { Writer } from '../../base/bytes.ts'
import { AppError } from '../../base/errors.ts'

export const ENTRY_BYTES = 32
export const ATTRIBUTES = { volume: 0x08, directory: 0x10, archive: 0x20, longName: 0x0f } as const

const MAX_UNITS = 255
const UNITS_IN_ENTRY = 13
const LAST_LONG = 0x40
const SHORT = /^([A-Z0-9!#$%&'()@^_`{}~-]{1,8})(?:\.([A-Z0-9!#$%&'()@^_`{}~-]{1,3}))?$/
const LABEL = /^[A-Z0-9!#$%&'()@^_`{}~-][A-Z0-9 !#$%&'()@^_`{}~-]{0,10}$/

export interface FatName {
  /** Eleven characters, filled with spaces, without the dot. */
  readonly short: string
  /** Undefined where the short name says it all. */
  readonly long: string | undefined
}

/**
 * The label in the eleven characters that the format has.
 * @throws {AppError} invalid when it has others, or more
 */
export function paddedLabel(label: string): string {
  if (!LABEL.test(label) || label.endsWith(' '))
    throw new AppError(
      'invalid',
      `Cannot use "${label}" as the label of a FAT file system: it is not 1 to 11 capital letters, digits and _ - and the like`,
    )
  return label.padEnd(11)
}

/**
 * The names of what is in one directory, in the order in which they are given.
 * @throws {AppError} unsupported, naming the path of what FAT cannot hold; two names that differ by capitals only are one to it
 */
export function fatNames(entries: readonly { readonly name: string; readonly path: string }[]): FatName[] {
  const seen = new Map<string, string>()
  for (const { name, path } of entries) {
    checkName(name, path)
    const folded = name.toUpperCase()
    const other = seen.get(folded)
    if (other !== undefined)
      throw new AppError(
        'unsupported',
        `Cannot put "${path}" on a FAT file system: "${other}" is there, and names that differ by capitals only are the same to it`,
      )
    seen.set(folded, path)
  }
  const taken = new Set(entries.flatMap(({ name }) => exactShort(name) ?? []))
  const next = new Map<string, number>()
  return entries.map(({ name }) => {
    const exact = exactShort(name)
    if (exact !== undefined) return { short: exact, long: undefined }
    const folded = exactShort(name.toUpperCase())
    const short = folded !== undefined && !taken.has(folded) ? folded : withTail(name, taken, next)
    taken.add(short)
    return { short, long: name }
  })
}

/** How many entries of 32 bytes a name takes. */
export function entriesOf({ long }: FatName): number {
  return 1 + (long === undefined ? 0 : Math.ceil(long.length / UNITS_IN_ENTRY))
}

/** The long name's entries, the last piece first, as they stand before the short entry. */
export function longEntries({ short, long }: FatName): Uint8Array {
  const out = new Writer()
  if (long === undefined) return out.done()
  const checksum = checksumOf(short)
  const pieces = Math.ceil(long.length / UNITS_IN_ENTRY)
  for (let piece = pieces; piece > 0; piece -= 1) {
    const from = (piece - 1) * UNITS_IN_ENTRY
    // What follows the name is one NUL and then ones; a name that fills its entry has neither.
    const unit = (at: number): number =>
      from + at < long.length ? long.charCodeAt(from + at) : from + at === long.length ? 0 : 0xffff
    out.u8(piece === pieces ? piece | LAST_LONG : piece)
    for (let at = 0; at < 5; at += 1) out.u16le(unit(at))
    out.u8(ATTRIBUTES.longName).u8(0).u8(checksum)
    for (let at = 5; at < 11; at += 1) out.u16le(unit(at))
    out.u16le(0)
    for (let at = 11; at < 13; at += 1) out.u16le(unit(at))
  }
  return out.done()
}

function checksumOf(short: string): number {
  let sum = 0
  for (let at = 0; at < 11; at += 1) sum = (((sum & 1) << 7) + (sum >> 1) + short.charCodeAt(at)) & 0xff
  return sum
}

function checkName(name: string, path: string): void {
  const why = /[\x00-\x1f"*:<>?\\|\x7f]/.test(name)
    ? 'its name has one of " * : < > ? \\ | or a control character'
    : /[. ]$/.test(name)
      ? 'its name ends with a dot or a space'
      : name.length > MAX_UNITS
        ? `its name has ${name.length} characters, at most ${MAX_UNITS} are possible`
        : undefined
  if (why !== undefined) throw new AppError('unsupported', `Cannot put "${path}" on a FAT file system: ${why}`)
}

function exactShort(name: string): string | undefined {
  const match = SHORT.exec(name)
  return match === null ? undefined : match[1]!.padEnd(8) + (match[2] ?? '').padEnd(3)
}

/** As "The Basis-Name Generation Algorithm" and "The Numeric-Tail Generation Algorithm" there. */
function withTail(name: string, taken: ReadonlySet<string>, next: Map<string, number>): string {
  const dot = name.lastIndexOf('.')
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot + 1)] : [name, '']
  const base = shortened(stem, 8) || '_'
  const end = shortened(extension, 3).padEnd(3)
  const key = base + end
  for (let number = next.get(key) ?? 1; ; number += 1) {
    const tail = `~${number}`
    const short = (base.slice(0, 8 - tail.length) + tail).padEnd(8) + end
    if (taken.has(short)) continue
    next.set(key, number + 1)
    return short
  }
}

function shortened(text: string, length: number): string {
  return text
    .replace(/[. ]/g, '')
    .toUpperCase()
    .replace(/[^A-Z0-9!#$%&'()@^_`{}~-]/g, '_')
    .slice(0, length)
}
