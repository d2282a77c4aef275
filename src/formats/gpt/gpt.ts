/**
 * A disk with a GUID partition table as a projection (UEFI specification 2.10, §5): protective MBR, both headers, both tables, and
 * partitions whose bytes are extents.
 */
import { crc32 } from 'node:zlib'
import { Writer } from '../../base/bytes.ts'
import { AppError } from '../../base/errors.ts'
import { sizeOf, type Extent } from '../extents.ts'

export const SECTOR_BYTES = 512
/** Where a partition may begin: whole MiB, as every tool has it. */
export const ALIGNMENT_BYTES = 1 << 20
/** What follows the last partition: the second table and its header. */
export const BACKUP_BYTES = 33 * SECTOR_BYTES

export const PARTITION_TYPES = {
  /** EFI system partition, UEFI §5.3.3 table 5-7. */
  efiSystem: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
  linuxData: '0fc63daf-8483-4772-8e79-3d69d8477de4',
  basicData: 'ebd0a0a2-b9e5-4433-87c0-68b6b72699c7',
} as const

export interface Partition {
  readonly type: keyof typeof PARTITION_TYPES
  /** Its own, lower-case with dashes. */
  readonly guid: string
  /** At most 36 characters. */
  readonly name: string
  readonly content: readonly Extent[]
}

export interface DiskOptions {
  readonly guid: string
  /** Of the disk; without it the smallest that holds the partitions, in whole MiB. */
  readonly sizeBytes?: number
}

const ENTRIES = 128
const ENTRY_BYTES = 128
const TABLE_SECTORS = (ENTRIES * ENTRY_BYTES) / SECTOR_BYTES
const HEADER_BYTES = 92
const ALIGNMENT_SECTORS = ALIGNMENT_BYTES / SECTOR_BYTES
const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const MAX_NAME = 36

interface Placed extends Partition {
  readonly first: number
  readonly last: number
}

/**
 * The disk, its partitions one after the other, each on a whole MiB. The same partitions give the same bytes.
 * @throws {AppError} invalid when they do not fit into the size
 * @throws {RangeError} for a GUID or name that is none, more than 128 partitions or an empty one
 */
export function gptDisk(partitions: readonly Partition[], { guid, sizeBytes }: DiskOptions): Extent[] {
  if (partitions.length > ENTRIES) throw new RangeError(`${partitions.length} partitions, at most ${ENTRIES}`)
  let next = ALIGNMENT_SECTORS
  const placed = partitions.map((partition): Placed => {
    const sectors = Math.ceil(sizeOf(partition.content) / SECTOR_BYTES)
    if (sectors === 0) throw new RangeError(`partition "${partition.name}" is empty`)
    const first = next
    next = roundUp(first + sectors, ALIGNMENT_SECTORS)
    return { ...partition, first, last: first + sectors - 1 }
  })
  const end = (placed.at(-1)?.last ?? ALIGNMENT_SECTORS - 1) + 1
  const least = (end + 1 + TABLE_SECTORS) * SECTOR_BYTES
  const diskBytes = sizeBytes ?? roundUp(least, ALIGNMENT_BYTES)
  const sectors = Math.floor(diskBytes / SECTOR_BYTES)
  if (sectors * SECTOR_BYTES < least)
    throw new AppError(
      'invalid',
      `Cannot put the partitions on a medium of ${diskBytes} bytes: ${least - sectors * SECTOR_BYTES} bytes more are needed`,
    )

  const table = tableOf(placed)
  const header = (isBackup: boolean): Extent => ({
    kind: 'bytes',
    bytes: headerOf({ guid, sectors, tableCrc: crc32(table), isBackup }),
  })
  const out: Extent[] = [{ kind: 'bytes', bytes: protectiveMbr(sectors) }, header(false)]
  out.push({ kind: 'bytes', bytes: table })
  let atBytes = (2 + TABLE_SECTORS) * SECTOR_BYTES
  for (const { first, content } of placed) {
    out.push(...zeros(first * SECTOR_BYTES - atBytes), ...content)
    atBytes = first * SECTOR_BYTES + sizeOf(content)
  }
  const backup = (sectors - 1 - TABLE_SECTORS) * SECTOR_BYTES
  out.push(...zeros(backup - atBytes), { kind: 'bytes', bytes: table }, header(true))
  out.push(...zeros(diskBytes - sectors * SECTOR_BYTES))
  return out
}

/** §5.2.3: one entry over the whole disk, so that programs that know no GPT take it for full. */
export function protectiveMbr(sectors: number): Uint8Array {
  const out = new Writer(SECTOR_BYTES).zeros(446)
  out.u8(0).u8(0).u8(2).u8(0)
  out.u8(0xee).u8(0xff).u8(0xff).u8(0xff)
  out.u32le(1).u32le(Math.min(sectors - 1, 0xffff_ffff))
  return out.zeros(48).u16le(0xaa55).done()
}

/** The first three parts are little-endian, the others as they are written (UEFI appendix A). */
export function guidBytes(guid: string): Uint8Array {
  if (!GUID.test(guid)) throw new RangeError(`"${guid}" is no GUID`)
  const bytes = Buffer.from(guid.replaceAll('-', ''), 'hex')
  bytes.subarray(0, 4).reverse()
  bytes.subarray(4, 6).reverse()
  bytes.subarray(6, 8).reverse()
  return bytes
}

function tableOf(placed: readonly Placed[]): Uint8Array {
  const out = new Writer(ENTRIES * ENTRY_BYTES)
  for (const { type, guid, name, first, last } of placed) {
    if (name.length > MAX_NAME) throw new RangeError(`the name "${name}" of a partition is longer than ${MAX_NAME}`)
    out.bytes(guidBytes(PARTITION_TYPES[type])).bytes(guidBytes(guid))
    out.u64le(BigInt(first)).u64le(BigInt(last)).u64le(0n)
    out.field(Buffer.from(name, 'utf16le'), MAX_NAME * 2)
  }
  return out.zeros(ENTRIES * ENTRY_BYTES - out.length).done()
}

interface HeaderFields {
  readonly guid: string
  readonly sectors: number
  readonly tableCrc: number
  readonly isBackup: boolean
}

function headerOf({ guid, sectors, tableCrc, isBackup }: HeaderFields): Uint8Array {
  const [first, last] = [1n, BigInt(sectors - 1)]
  const make = (ownCrc: number): Uint8Array =>
    new Writer(SECTOR_BYTES)
      .utf8('EFI PART')
      .u32le(0x0001_0000)
      .u32le(HEADER_BYTES)
      .u32le(ownCrc)
      .u32le(0)
      .u64le(isBackup ? last : first)
      .u64le(isBackup ? first : last)
      .u64le(BigInt(2 + TABLE_SECTORS))
      .u64le(BigInt(sectors - 2 - TABLE_SECTORS))
      .bytes(guidBytes(guid))
      .u64le(isBackup ? BigInt(sectors - 1 - TABLE_SECTORS) : 2n)
      .u32le(ENTRIES)
      .u32le(ENTRY_BYTES)
      .u32le(tableCrc)
      .zeros(SECTOR_BYTES - HEADER_BYTES)
      .done()
  return make(crc32(make(0).subarray(0, HEADER_BYTES)))
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to
}

function zeros(length: number): Extent[] {
  return length === 0 ? [] : [{ kind: 'zeros', length }]
}
