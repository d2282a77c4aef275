/**
 * A stick and a CD that start on BIOS and UEFI. What starts says a word on the serial port and stops: nothing else is needed to see who
 * booted what. Made with mtools and xorriso.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** What is said by which program. */
export const said = (firmware: 'bios' | 'uefi', medium: string): string => `${firmware} starts ${medium}\r\n`

/** A FAT file system of 1440 KiB without a partition table, whose boot sector and whose `EFI/BOOT/BOOTX64.EFI` say `medium`. */
export function makeStick(folder: string, medium: string): string {
  const path = join(folder, `${medium}.img`)
  const [sector, program] = [join(folder, 'sector'), join(folder, 'program.efi')]
  writeFileSync(sector, bootSector(said('bios', medium)))
  writeFileSync(program, efiProgram(said('uefi', medium)))
  execFileSync('mformat', ['-C', '-f', '1440', '-B', sector, '-i', path])
  execFileSync('mmd', ['-i', path, '::/EFI', '::/EFI/BOOT'])
  execFileSync('mcopy', ['-i', path, program, '::/EFI/BOOT/BOOTX64.EFI'])
  return path
}

/** An ISO image with two El Torito entries that say `medium`. */
export function makeCd(folder: string, medium: string): string {
  const path = join(folder, `${medium}.iso`)
  makeStick(folder, medium)
  const tree = join(folder, 'tree')
  execFileSync('mkdir', ['-p', tree])
  execFileSync('cp', [join(folder, 'sector'), join(folder, `${medium}.img`), tree])
  const bios = ['-b', 'sector', '-no-emul-boot', '-boot-load-size', '4']
  const uefi = ['-eltorito-alt-boot', '-e', `${medium}.img`, '-no-emul-boot']
  execFileSync('xorriso', ['-as', 'mkisofs', '-quiet', '-o', path, ...bios, ...uefi, tree], { stdio: 'ignore' })
  return path
}

const SERIAL = [0x66, 0xba, 0xf8, 0x03] // mov dx, 0x3f8
/** Waits for room before each byte: the line takes them as fast as whoever reads it. The same in 16 and 64 bits. */
const PRINT = [
  ...[0xac], //             lodsb
  ...[0x84, 0xc0], //       test al, al
  ...[0x74, 0x12], //       jz to hlt
  ...[0x88, 0xc4], //       mov ah, al
  ...[0x83, 0xc2, 0x05], // add dx, 5 (the line status)
  ...[0xec], //             in al, dx
  ...[0xa8, 0x20], //       test al, 0x20 (transmitter empty)
  ...[0x74, 0xfb], //       jz to in
  ...[0x83, 0xea, 0x05], // sub dx, 5
  ...[0x88, 0xe0], //       mov al, ah
  ...[0xee], //             out dx, al
  ...[0xeb, 0xe9], //       jmp to lodsb
  ...[0xf4], //             hlt
  ...[0xeb, 0xfd], //       jmp to hlt
]

/** Code of a boot sector, from byte 62 on, where that of FAT12 begins; BIOS loads it at 0x7c00. */
function bootSector(text: string): Uint8Array {
  const begin = [0xfa, 0xfc, 0x31, 0xc0, 0x8e, 0xd8] // cli; cld; xor ax, ax; mov ds, ax
  const code = [...begin, 0xbe, 0, 0, ...SERIAL.slice(1), ...PRINT] // mov si, text; mov dx, 0x3f8
  code.splice(7, 2, ...word(0x7c00 + 62 + code.length))
  const sector = Buffer.alloc(512)
  sector.set([0xeb, 0x3c, 0x90])
  sector.set(code, 62)
  sector.write(`${text}\0`, 62 + code.length, 'latin1')
  sector.set([0x55, 0xaa], 510)
  return sector
}

/** A PE32+ image (PE Format, "Optional Header") with one section, for the subsystem 10: an EFI application. */
function efiProgram(text: string): Uint8Array {
  const code = [0xfa, 0xfc, 0x48, 0x8d, 0x35, 0, 0, 0, 0, ...SERIAL, ...PRINT] // cli; cld; lea rsi, [rip + text]; mov dx, 0x3f8
  code.splice(5, 4, ...word(code.length - 9), 0, 0)
  const image = Buffer.alloc(0x400)
  image.write('MZ')
  image.writeUInt32LE(0x40, 0x3c)
  image.write('PE\0\0', 0x40)
  image.writeUInt16LE(0x8664, 0x44)
  image.writeUInt16LE(1, 0x46) // sections
  image.writeUInt16LE(0xf0, 0x54) // size of the optional header
  image.writeUInt16LE(0x22, 0x56) // executable, large addresses
  image.writeUInt16LE(0x20b, 0x58)
  image.writeUInt32LE(0x200, 0x5c) // size of code
  image.writeUInt32LE(0x1000, 0x68) // entry point
  image.writeUInt32LE(0x1000, 0x6c) // base of code
  image.writeUInt32LE(0x1000, 0x78) // section alignment
  image.writeUInt32LE(0x200, 0x7c) // file alignment
  image.writeUInt32LE(0x2000, 0x90) // size of the image
  image.writeUInt32LE(0x200, 0x94) // size of the headers
  image.writeUInt16LE(10, 0x9c) // subsystem
  image.writeUInt32LE(16, 0xc4) // directories, all empty
  image.write('.text', 0x148)
  image.writeUInt32LE(0x200, 0x150)
  image.writeUInt32LE(0x1000, 0x154)
  image.writeUInt32LE(0x200, 0x158)
  image.writeUInt32LE(0x200, 0x15c)
  image.writeUInt32LE(0x60000020, 0x16c) // code, executable, readable
  image.set(code, 0x200)
  image.write(`${text}\0`, 0x200 + code.length, 'latin1')
  return image
}

function word(value: number): [number, number] {
  return [value & 0xff, value >> 8]
}
