/**
 * What a kit needs to know of ELF files (System V gABI, 64-bit little-endian): the sections by name, and which shared libraries
 * and which interpreter a program asks for.
 */
import { Reader } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

export interface Elf {
  /** `e_machine`: 62 is x86-64, 183 is AArch64. */
  readonly machine: number
  readonly sections: ReadonlyMap<string, Uint8Array>
  /** DT_NEEDED: sonames in their order. */
  readonly needed: readonly string[]
  /** PT_INTERP: the path of the dynamic loader; undefined in static programs, libraries and modules. */
  readonly interpreter: string | undefined
}

const WHAT = 'ELF file'
const ENTRIES_MAX = 4096
const NAME_MAX = 4096
const PT_LOAD = 1
const PT_DYNAMIC = 2
const PT_INTERP = 3
const SHT_NOBITS = 8
const DT_NEEDED = 1n
const DT_STRTAB = 5n

interface Segment {
  readonly type: number
  readonly offset: number
  readonly address: number
  readonly size: number
}

export function isElf(bytes: Uint8Array): boolean {
  return bytes.length > 4 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46
}

/** @throws {WireError} when it is no 64-bit little-endian ELF, or a table or name lies outside the file */
export function parseElf(bytes: Uint8Array): Elf {
  const header = new Reader(bytes, WHAT)
  if (!isElf(header.take(16, 'ident'))) throw new WireError(WHAT, 'no \\x7fELF at its start')
  if (bytes[4] !== 2 || bytes[5] !== 1) throw new WireError(WHAT, 'not 64-bit little-endian')
  header.skip(2, 'e_type')
  const machine = header.u16le('e_machine')
  header.skip(4 + 8, 'e_version, e_entry')
  const segmentsAt = offset(header.u64le('e_phoff'))
  const sectionsAt = offset(header.u64le('e_shoff'))
  header.skip(4 + 2, 'e_flags, e_ehsize')
  const segmentSize = header.u16le('e_phentsize')
  const segmentCount = header.u16le('e_phnum')
  const sectionSize = header.u16le('e_shentsize')
  const sectionCount = header.u16le('e_shnum')
  const namesIndex = header.u16le('e_shstrndx')
  const segments = readSegments(bytes, segmentsAt, segmentSize, segmentCount)
  return {
    machine,
    sections: readSections(bytes, sectionsAt, sectionSize, sectionCount, namesIndex),
    needed: readNeeded(bytes, segments),
    interpreter: readInterpreter(bytes, segments),
  }
}

function readSegments(bytes: Uint8Array, at: number, size: number, count: number): Segment[] {
  if (count === 0) return []
  if (size < 56 || count > ENTRIES_MAX) throw new WireError(WHAT, `program header table of ${count} × ${size} bytes`)
  const reader = readerAt(bytes, at, size * count, 'program header table')
  return Array.from({ length: count }, () => {
    const entry = new Reader(reader.take(size), WHAT)
    const type = entry.u32le()
    entry.skip(4, 'p_flags')
    const from = offset(entry.u64le('p_offset'))
    const address = offset(entry.u64le('p_vaddr') & 0x1f_ffff_ffff_ffffn)
    entry.skip(8, 'p_paddr')
    return { type, offset: from, address, size: offset(entry.u64le('p_filesz')) }
  })
}

function readSections(
  bytes: Uint8Array,
  at: number,
  size: number,
  count: number,
  namesIndex: number,
): Map<string, Uint8Array> {
  const sections = new Map<string, Uint8Array>()
  if (count === 0) return sections
  if (size < 64 || count > ENTRIES_MAX) throw new WireError(WHAT, `section header table of ${count} × ${size} bytes`)
  const reader = readerAt(bytes, at, size * count, 'section header table')
  const found: { nameAt: number; bytes: Uint8Array }[] = []
  for (let i = 0; i < count; i++) {
    const entry = new Reader(reader.take(size), WHAT)
    const nameAt = entry.u32le('sh_name')
    const type = entry.u32le('sh_type')
    entry.skip(8 + 8, 'sh_flags, sh_addr')
    const from = offset(entry.u64le('sh_offset'))
    const length = offset(entry.u64le('sh_size'))
    const empty = type === 0 || type === SHT_NOBITS
    found.push({ nameAt, bytes: empty ? new Uint8Array() : readerAt(bytes, from, length, `section ${i}`).rest() })
  }
  const names = found[namesIndex]?.bytes ?? new Uint8Array()
  for (const { nameAt, bytes: body } of found) {
    const name = nameAt < names.length ? stringAt(names, nameAt) : ''
    if (name !== '' && !sections.has(name)) sections.set(name, body)
  }
  return sections
}

function readNeeded(bytes: Uint8Array, segments: readonly Segment[]): string[] {
  const dynamic = segments.find((s) => s.type === PT_DYNAMIC)
  if (!dynamic) return []
  const reader = readerAt(bytes, dynamic.offset, dynamic.size, 'dynamic segment')
  const nameOffsets: number[] = []
  let tableAddress: number | undefined
  while (reader.left >= 16) {
    const tag = reader.u64le()
    const value = reader.u64le()
    if (tag === 0n) break
    if (tag === DT_NEEDED) nameOffsets.push(offset(value))
    if (tag === DT_STRTAB) tableAddress = offset(value)
    if (nameOffsets.length > ENTRIES_MAX) throw new WireError(WHAT, 'too many libraries needed')
  }
  if (nameOffsets.length === 0) return []
  const table = segments.find(
    (s) =>
      s.type === PT_LOAD &&
      tableAddress !== undefined &&
      tableAddress >= s.address &&
      tableAddress < s.address + s.size,
  )
  if (!table || tableAddress === undefined) throw new WireError(WHAT, 'its dynamic string table is in no segment')
  const at = table.offset + (tableAddress - table.address)
  return nameOffsets.map((nameAt) => stringAt(bytes, at + nameAt))
}

function readInterpreter(bytes: Uint8Array, segments: readonly Segment[]): string | undefined {
  const segment = segments.find((s) => s.type === PT_INTERP)
  return segment && stringAt(bytes, segment.offset)
}

function stringAt(bytes: Uint8Array, at: number): string {
  const rest = readerAt(bytes, at, Math.max(0, bytes.length - at), 'name')
  return new TextDecoder('latin1').decode(rest.untilNul(NAME_MAX, 'name'))
}

function readerAt(bytes: Uint8Array, at: number, length: number, what: string): Reader {
  const reader = new Reader(bytes, WHAT)
  reader.skip(at, what)
  return new Reader(reader.take(length, what), WHAT)
}

function offset(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new WireError(WHAT, `offset ${value} is past any file`)
  return Number(value)
}
