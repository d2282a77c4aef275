/**
 * The time of the root directory in a squashfs 4.0 that was just made: sqfstar 4.5 puts the time of day there whatever it is told,
 * so that no two of its images would be equal. The table of inodes must not be compressed (`-noI`).
 */
import { open } from 'node:fs/promises'
import { AppError } from '../../base/errors.ts'

const MAGIC = 0x73717368
const SUPERBLOCK_BYTES = 96
/** Inodes lie in blocks of so many bytes, each behind two bytes of its length. */
const METADATA_BYTES = 8192
const IS_PLAIN = 0x8000
/** Of the time in the head of an inode. */
const MTIME_AT = 8
/** Inode types of directories: basic, and extended. */
const DIRECTORIES: ReadonlySet<number> = new Set([1, 8])

/** @throws {AppError} internal when it is not such an image */
export async function setRootTime(path: string, seconds: number): Promise<void> {
  await using file = await open(path, 'r+')
  const read = async (at: number, length: number): Promise<Buffer> => {
    const bytes = Buffer.alloc(length)
    const { bytesRead } = await file.read(bytes, 0, length, at)
    if (bytesRead < length) throw refusal('it ends too early')
    return bytes
  }
  const superblock = await read(0, SUPERBLOCK_BYTES)
  if (superblock.readUInt32LE(0) !== MAGIC) throw refusal('it is none')
  const root = superblock.readBigUInt64LE(32)
  const block = Number(superblock.readBigUInt64LE(64)) + Number(root >> 16n)
  if (((await read(block, 2)).readUInt16LE(0) & IS_PLAIN) === 0) throw refusal('its inodes are compressed')
  // An inode may go on in the next block.
  const place = (at: number): number => block + 2 + at + (at < METADATA_BYTES ? 0 : 2)
  const inode = Number(root & 0xffffn)
  const type = Buffer.concat([await read(place(inode), 1), await read(place(inode + 1), 1)]).readUInt16LE(0)
  if (!DIRECTORIES.has(type)) throw refusal(`its root is of type ${type}`)
  const time = Buffer.alloc(4)
  time.writeUInt32LE(seconds)
  for (const [index, byte] of time.entries())
    await file.write(Uint8Array.of(byte), 0, 1, place(inode + MTIME_AT + index))
}

function refusal(why: string): AppError {
  return new AppError('internal', `Cannot set the time of the root of a squashfs: ${why}`)
}
