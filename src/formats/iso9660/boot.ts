/** How an ISO image starts: El Torito 1.0 for optical drives, a master boot record for the same file on a flash drive. */
import { Writer } from '../../base/bytes.ts'
import { SECTOR_BYTES } from './records.ts'

const DISK_SECTOR_BYTES = 512
const DISK_SECTORS = SECTOR_BYTES / DISK_SECTOR_BYTES
const PLATFORMS = { bios: 0, efi: 0xef } as const
const BOOTABLE = 0x88
/** Sectors of 512 bytes that a BIOS loads of the image; it loads the rest itself. */
const BIOS_LOADS = 4
const INFO_AT = 8
const INFO_BYTES = 56
const SUMMED_FROM = 64

/** Where images that firmware starts lie. */
export interface BootImages {
  readonly bios?: { readonly lba: number }
  readonly efi?: { readonly lba: number; readonly sizeBytes: number }
}

/** The boot catalog, one sector. @param images at least one */
export function bootCatalog({ bios, efi }: BootImages): Uint8Array {
  const out = new Writer(SECTOR_BYTES)
  const first = bios === undefined ? PLATFORMS.efi : PLATFORMS.bios
  // All 16-bit words of the validation entry add up to 0.
  out
    .u8(1)
    .u8(first)
    .zeros(26)
    .u16le((0x1_0000 - (1 | (first << 8)) - 0xaa55) & 0xffff)
    .u8(0x55)
    .u8(0xaa)
  if (bios !== undefined) entry(out, bios.lba, BIOS_LOADS)
  if (efi !== undefined) {
    if (bios !== undefined) out.u8(0x91).u8(PLATFORMS.efi).u16le(1).zeros(28)
    const sectors = Math.ceil(efi.sizeBytes / DISK_SECTOR_BYTES)
    // UEFI §13.3.2.1: 0 is all from there to the end of the medium, for what 16 bits cannot count.
    entry(out, efi.lba, sectors > 0xffff ? 0 : sectors)
  }
  return out.align(SECTOR_BYTES).done()
}

/**
 * ISOLINUX with what it is told of its place: the boot information table of mkisofs(8).
 * @throws {RangeError} when it is too short to have one
 */
export function withBootInfo(image: Uint8Array, lba: number, descriptorLba: number): Uint8Array {
  if (image.length < SUMMED_FROM) throw new RangeError(`a boot image of ${image.length} bytes`)
  const bytes = Buffer.alloc(Math.ceil(image.length / 4) * 4)
  bytes.set(image)
  let sum = 0
  for (let at = SUMMED_FROM; at < bytes.length; at += 4) sum = (sum + bytes.readUInt32LE(at)) >>> 0
  const info = new Writer(INFO_BYTES).u32le(descriptorLba).u32le(lba).u32le(image.length).u32le(sum)
  bytes.set(info.zeros(INFO_BYTES - info.length).done(), INFO_AT)
  return bytes.subarray(0, image.length)
}

export interface HybridOptions extends BootImages {
  /** Isohybrid code of ISOLINUX, up to 432 bytes. */
  readonly code?: Uint8Array
  readonly diskId: number
  readonly totalSectors: number
}

const CODE_BYTES = 432
const HIDDEN_NTFS = 0x17
const EFI_SYSTEM = 0xef
const NO_CYLINDER = [0xfe, 0xff, 0xff] as const

/** For a BIOS code that loads ISOLINUX, and for UEFI the system partition, which is last. */
export function hybridRecord({ bios, efi, code, diskId, totalSectors }: HybridOptions): Uint8Array {
  const out = new Writer(DISK_SECTOR_BYTES).field(code ?? new Uint8Array(0), CODE_BYTES)
  out.u32le(bios !== undefined && code !== undefined ? bios.lba * DISK_SECTORS : 0).u32le(0)
  out.u32le(diskId).u16le(0)
  // They do not overlap: UEFI firmware takes none of a table of which two do.
  const ends = (efi?.lba ?? totalSectors) * DISK_SECTORS
  partition(out, 0x80, HIDDEN_NTFS, 0, ends)
  if (efi === undefined) out.zeros(16)
  else partition(out, 0, EFI_SYSTEM, efi.lba * DISK_SECTORS, Math.ceil(efi.sizeBytes / DISK_SECTOR_BYTES))
  return out.zeros(32).u16le(0xaa55).done()
}

function entry(out: Writer, lba: number, sectors: number): void {
  out.u8(BOOTABLE).u8(0).u16le(0).u8(0).u8(0).u16le(sectors).u32le(lba).zeros(20)
}

function partition(out: Writer, status: number, type: number, first: number, sectors: number): void {
  out.u8(status)
  // Cylinders are of no use for large disks; 0/0/1 is the first sector.
  if (first === 0) out.u8(0).u8(1).u8(0)
  else out.bytes(Uint8Array.from(NO_CYLINDER))
  out.u8(type).bytes(Uint8Array.from(NO_CYLINDER)).u32le(first).u32le(Math.min(sectors, 0xffff_ffff))
}
