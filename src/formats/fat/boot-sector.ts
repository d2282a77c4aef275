/** What lies before the tables of a FAT file system: boot sector, and of FAT32 FSInfo and their copies. */
import { Writer } from '../../base/bytes.ts'
import { SECTOR_BYTES, type Geometry } from './geometry.ts'
import { paddedLabel } from './names.ts'

export interface BootSectorOptions {
  readonly label: string
  readonly serial: number
  readonly hiddenSectors?: number
  /** Clusters that are free, and the first of them. */
  readonly free: number
  readonly next: number
}

const ROOT_CLUSTER = 2
const INFO_SECTOR = 1
const BACKUP_SECTOR = 6
const FIXED_DISK = 0xf8
const EXTENDED = 0x29
/** `int 18h`, then `hlt` for ever: a BIOS that starts it goes on to the next device. */
const BOOT_CODE = Uint8Array.of(0xcd, 0x18, 0xf4, 0xeb, 0xfd)

export function bootSectors(geometry: Geometry, options: BootSectorOptions): Uint8Array {
  const boot = bootSector(geometry, options)
  if (geometry.bits !== 32) return boot
  const sectors = new Uint8Array(geometry.reservedSectors * SECTOR_BYTES)
  for (const at of [0, BACKUP_SECTOR]) {
    sectors.set(boot, at * SECTOR_BYTES)
    sectors.set(infoSector(options), (at + INFO_SECTOR) * SECTOR_BYTES)
    sectors.set(signed(new Writer()), (at + 2) * SECTOR_BYTES)
  }
  return sectors
}

function bootSector(geometry: Geometry, { label, serial, hiddenSectors = 0 }: BootSectorOptions): Uint8Array {
  const { bits, totalSectors, clusterSectors, reservedSectors, fatSectors, rootSectors } = geometry
  const isLarge = bits === 32
  const fitsShort = !isLarge && totalSectors < 0x1_0000
  const out = new Writer(SECTOR_BYTES)
    .u8(0xeb)
    .u8(isLarge ? 0x58 : 0x3c)
    .u8(0x90)
    // Drivers look at this name, and some like only this one.
    .utf8('MSWIN4.1')
    .u16le(SECTOR_BYTES)
    .u8(clusterSectors)
    .u16le(reservedSectors)
    .u8(2)
    .u16le((rootSectors * SECTOR_BYTES) / 32)
    .u16le(fitsShort ? totalSectors : 0)
    .u8(FIXED_DISK)
    .u16le(isLarge ? 0 : fatSectors)
    // The geometry that BIOSes assume of disks this large; it is of no use to anybody else.
    .u16le(63)
    .u16le(255)
    .u32le(hiddenSectors)
    .u32le(fitsShort ? 0 : totalSectors)
  if (isLarge)
    out.u32le(fatSectors).u16le(0).u16le(0).u32le(ROOT_CLUSTER).u16le(INFO_SECTOR).u16le(BACKUP_SECTOR).zeros(12)
  out.u8(0x80).u8(0).u8(EXTENDED).u32le(serial).utf8(paddedLabel(label)).utf8(`FAT${bits}`.padEnd(8)).bytes(BOOT_CODE)
  return signed(out)
}

function infoSector({ free, next }: BootSectorOptions): Uint8Array {
  const out = new Writer(SECTOR_BYTES).utf8('RRaA').zeros(480).utf8('rrAa')
  return signed(out.u32le(free).u32le(free === 0 ? 0xffff_ffff : next))
}

function signed(out: Writer): Uint8Array {
  return out
    .zeros(SECTOR_BYTES - 2 - out.length)
    .u16le(0xaa55)
    .done()
}
