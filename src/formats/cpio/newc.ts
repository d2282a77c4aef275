/**
 * cpio in the "new ASCII" format (magic 070701), the one that Linux unpacks into its initramfs
 * (Documentation/driver-api/early-userspace/buffer-format). Times before 1970 and after 2106 are clamped; newc has neither
 * nanoseconds nor extended attributes.
 */
import type { ByteString } from '../tar/byte-string.ts'

export const TRAILER = 'TRAILER!!!'

/** S_IFMT bits by kind (inode(7)). */
export const FILE_TYPE_BITS = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  character: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
} as const

export interface NewcHeader {
  readonly inode: number
  /** Type and permission bits. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly linkCount: number
  readonly mtimeSeconds: number
  readonly size: number
  readonly deviceMajor: number
  readonly deviceMinor: number
  /** As it stands in the archive; it is followed by a NUL. */
  readonly name: ByteString
}

/** Header and name, padded to 4 bytes; the data that follows is padded to 4 too. */
export function newcHeader(header: NewcHeader): Uint8Array {
  const fields = [
    header.inode,
    header.mode,
    header.uid,
    header.gid,
    header.linkCount,
    Math.min(Math.max(header.mtimeSeconds, 0), 0xffff_ffff),
    header.size,
    0,
    0,
    header.deviceMajor,
    header.deviceMinor,
    header.name.length + 1,
    0,
  ]
  const text = `070701${fields.map(hex).join('')}${header.name}\0`
  return Buffer.from(text.padEnd(Math.ceil(text.length / 4) * 4, '\0'), 'latin1')
}

/** How many bytes newcHeader gives: magic, 13 fields of 8 digits, the name and its NUL, padded. */
export function newcHeaderLength(name: ByteString): number {
  return Math.ceil((6 + 13 * 8 + name.length + 1) / 4) * 4
}

/** What ends an archive. The kernel forgets inode numbers here, so archives may follow each other. */
export function newcTrailer(): Uint8Array {
  return newcHeader({
    inode: 0,
    mode: 0,
    uid: 0,
    gid: 0,
    linkCount: 1,
    mtimeSeconds: 0,
    size: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    name: TRAILER,
  })
}

function hex(value: number): string {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff)
    throw new RangeError(`Cannot write ${value} into a cpio header: it is not a 32-bit number`)
  return value.toString(16).padStart(8, '0')
}
