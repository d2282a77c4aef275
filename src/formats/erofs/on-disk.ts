/**
 * Structures of EROFS on disk (kernel documentation "Enhanced Read-Only File System", erofs.docs.kernel.org "Core on-disk
 * format"), little-endian, blocks of 4 KiB. What is not mentioned is zero.
 */
import { crc32cOpen } from './crc32c.ts'

export const BLOCK_BYTES = 4096
/** Inodes are named by the slot of 32 bytes that they begin in, counted from the metadata's first block: here the first of all. */
export const SLOT_BYTES = 32
export const COMPACT_INODE_BYTES = 32
export const EXTENDED_INODE_BYTES = 64
export const DIRENT_BYTES = 12
/** Block addresses have 32 bits, all ones mean "none". */
export const MAX_BLOCKS = 0xffff_ffff
/** The address of a chunk that is a hole. */
export const NULL_ADDRESS = 0xffff_ffff

const SUPERBLOCK_AT = 1024
const SUPERBLOCK_BYTES = 128
/** Where the first inode may begin. */
export const INODES_AT = SUPERBLOCK_AT + SUPERBLOCK_BYTES
const MAGIC = 0xe0f5_e1e2
const BLOCK_BITS = 12
const COMPATIBLE = { checksum: 0x1, mtime: 0x2 } as const
const INCOMPATIBLE = { chunkedFile: 0x4 } as const

/** How the content of an inode is found (bits 1 to 3 of its format). */
export const LAYOUTS = { plain: 0, inline: 2, chunked: 4 } as const

/** File types in directory entries: those of the kernel's fs_types. */
export const FILE_TYPES = { file: 1, directory: 2, character: 3, block: 4, fifo: 5, symlink: 7 } as const

export interface Superblock {
  readonly rootSlot: number
  readonly inodeCount: number
  /** The time of all compact inodes. */
  readonly buildSeconds: number
  readonly buildNanoseconds: number
  /** Blocks of the whole device. */
  readonly blocks: number
  /** Where the shared attributes begin; 0 when there are none. */
  readonly xattrBlock: number
  readonly uuid: Uint8Array
  readonly hasChunkedFiles: boolean
}

/** Writes the superblock into the first block. Its checksum is of the whole block from there: all else must be in it already. */
export function writeSuperblock(block: Buffer, fields: Superblock): void {
  const at = SUPERBLOCK_AT
  block.writeUInt32LE(MAGIC, at)
  block.writeUInt32LE(COMPATIBLE.checksum | COMPATIBLE.mtime, at + 8)
  block.writeUInt8(BLOCK_BITS, at + 12)
  block.writeUInt16LE(fields.rootSlot, at + 14)
  writeInt64(block, at + 16, fields.inodeCount)
  writeInt64(block, at + 24, fields.buildSeconds)
  block.writeUInt32LE(fields.buildNanoseconds, at + 32)
  block.writeUInt32LE(fields.blocks, at + 36)
  block.writeUInt32LE(fields.xattrBlock, at + 44)
  block.set(fields.uuid, at + 48)
  block.writeUInt32LE(fields.hasChunkedFiles ? INCOMPATIBLE.chunkedFile : 0, at + 80)
  block.writeUInt32LE(0, at + 4)
  block.writeUInt32LE(crc32cOpen(block.subarray(at, BLOCK_BYTES)), at + 4)
}

export interface InodeFields {
  readonly isCompact: boolean
  readonly layout: number
  /** Bytes of attributes that follow the inode: 0, or 12 and a multiple of 4. */
  readonly xattrBytes: number
  /** Type and permission bits. */
  readonly mode: number
  readonly linkCount: number
  readonly size: number
  /** The first block of the content, the format of chunks, or the device. */
  readonly union: number
  readonly number: number
  readonly uid: number
  readonly gid: number
  /** Extended inodes only: seconds may be negative. */
  readonly mtimeSeconds: number
  readonly mtimeNanoseconds: number
}

/** Writes an inode of 32 or 64 bytes into zeros. */
export function writeInode(bytes: Buffer, at: number, inode: InodeFields): void {
  bytes.writeUInt16LE((inode.isCompact ? 0 : 1) | (inode.layout << 1), at)
  bytes.writeUInt16LE(inode.xattrBytes === 0 ? 0 : 1 + (inode.xattrBytes - XATTR_HEAD_BYTES) / 4, at + 2)
  bytes.writeUInt16LE(inode.mode, at + 4)
  bytes.writeUInt32LE(inode.union, at + 16)
  bytes.writeUInt32LE(inode.number, at + 20)
  if (inode.isCompact) {
    bytes.writeUInt16LE(inode.linkCount, at + 6)
    bytes.writeUInt32LE(inode.size, at + 8)
    bytes.writeUInt16LE(inode.uid, at + 24)
    bytes.writeUInt16LE(inode.gid, at + 26)
    return
  }
  writeInt64(bytes, at + 8, inode.size)
  bytes.writeUInt32LE(inode.uid, at + 24)
  bytes.writeUInt32LE(inode.gid, at + 28)
  writeInt64(bytes, at + 32, inode.mtimeSeconds)
  bytes.writeUInt32LE(inode.mtimeNanoseconds, at + 40)
  bytes.writeUInt32LE(inode.linkCount, at + 44)
}

/** The largest values that a compact inode holds. */
export const COMPACT_MAX = { id: 0xffff, links: 0xffff, size: 0xffff_ffff } as const

/** Filter, count of shared attributes and reserve, in front of an inode's attributes. */
export const XATTR_HEAD_BYTES = 12
/** The count of an inode's attribute words has 16 bits, and begins with 1 for the head. */
export const MAX_XATTR_BYTES = XATTR_HEAD_BYTES + 4 * 0xfffe
export const MAX_SHARED_XATTRS = 0xff
export const MAX_XATTR_VALUE_BYTES = 0xffff

/** Device numbers as Linux packs them into 32 bits: 12 bits of major between 8 and 12 of minor (new_encode_dev). */
export function deviceNumber(major: number, minor: number): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0
}

/** Two's complement; whole numbers of up to 53 bits and a sign. */
function writeInt64(bytes: Buffer, at: number, value: number): void {
  const high = Math.floor(value / 2 ** 32)
  bytes.writeUInt32LE(value - high * 2 ** 32, at)
  bytes.writeInt32LE(high, at + 4)
}
