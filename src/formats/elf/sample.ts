/** A small ELF file made by hand, for tests and as the seed of the fuzz test. */
import { Writer } from '../../base/bytes.ts'

/** One segment that covers the file, and the sections `.modinfo` and `.shstrtab`. */
export function sampleElf({
  needed,
  interpreter = '',
  modinfo,
}: {
  needed: readonly string[]
  interpreter?: string
  modinfo: string
}): Uint8Array {
  const names = '\0.modinfo\0.shstrtab\0'
  const strings = `\0${needed.map((name) => `${name}\0`).join('')}`
  const segmentsAt = 64
  const interpreterAt = segmentsAt + 3 * 56
  const stringsAt = interpreterAt + interpreter.length + 1
  const modinfoAt = stringsAt + strings.length
  const namesAt = modinfoAt + modinfo.length
  const dynamicAt = namesAt + names.length
  const dynamicSize = 16 * (needed.length + 2)
  const sectionsAt = dynamicAt + dynamicSize
  const base = 0x400000
  const w = new Writer()
  w.u8(0x7f).utf8('ELF').u8(2).u8(1).u8(1).zeros(9)
  w.u16le(3).u16le(62).u32le(1).u64le(0n).u64le(BigInt(segmentsAt)).u64le(BigInt(sectionsAt)).u32le(0)
  w.u16le(64)
    .u16le(56)
    .u16le(interpreter === '' ? 2 : 3)
    .u16le(64)
    .u16le(3)
    .u16le(2)
  const segment = (type: number, at: number, size: number): void => {
    w.u32le(type)
      .u32le(4)
      .u64le(BigInt(at))
      .u64le(BigInt(base + at))
      .u64le(BigInt(base + at))
    w.u64le(BigInt(size)).u64le(BigInt(size)).u64le(8n)
  }
  segment(1, 0, sectionsAt)
  segment(2, dynamicAt, dynamicSize)
  segment(3, interpreterAt, interpreter.length + 1)
  w.utf8(interpreter).u8(0).utf8(strings).utf8(modinfo).utf8(names)
  let nameAt = 1
  for (const name of needed) {
    w.u64le(1n).u64le(BigInt(nameAt))
    nameAt += name.length + 1
  }
  w.u64le(5n)
    .u64le(BigInt(base + stringsAt))
    .u64le(0n)
    .u64le(0n)
  const section = (name: number, type: number, at: number, size: number): void => {
    w.u32le(name).u32le(type).u64le(0n).u64le(0n).u64le(BigInt(at)).u64le(BigInt(size)).zeros(24)
  }
  section(0, 0, 0, 0)
  section(1, 1, modinfoAt, modinfo.length)
  section(10, 3, namesAt, names.length)
  return w.done()
}
