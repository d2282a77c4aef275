/** Reads EROFS images for tests: by the format's documents, and apart from what writes them. Only what we write is understood. */
import { extentsOf, type ExtentMap } from '../extent-map.ts'

export interface ReadInode {
  readonly at: number
  readonly isCompact: boolean
  readonly layout: number
  readonly mode: number
  readonly linkCount: number
  readonly size: number
  readonly union: number
  readonly number: number
  readonly uid: number
  readonly gid: number
  readonly mtimeSeconds: bigint | undefined
  readonly mtimeNanoseconds: number | undefined
  /** Bytes of attributes behind the inode, and how many of them are shared. */
  readonly xattrBytes: number
  readonly sharedXattrs: readonly number[]
  /** Where what follows the attributes begins. */
  readonly tailAt: number
}

/** The bytes of an image's metadata: all that is literal. */
export function metadataOf(map: ExtentMap): Buffer {
  const [first] = extentsOf(map)
  if (first?.kind !== 'bytes') throw new Error('no literal bytes at the front')
  return Buffer.from(first.bytes)
}

export function inodeAt(metadata: Buffer, slot: number): ReadInode {
  const at = slot * 32
  const format = metadata.readUInt16LE(at)
  const isCompact = (format & 1) === 0
  const words = metadata.readUInt16LE(at + 2)
  const xattrBytes = words === 0 ? 0 : 12 + (words - 1) * 4
  const xattrsAt = at + (isCompact ? 32 : 64)
  const sharedCount = words === 0 ? 0 : metadata.readUInt8(xattrsAt + 4)
  return {
    at,
    isCompact,
    layout: (format >> 1) & 7,
    mode: metadata.readUInt16LE(at + 4),
    linkCount: isCompact ? metadata.readUInt16LE(at + 6) : metadata.readUInt32LE(at + 44),
    size: isCompact ? metadata.readUInt32LE(at + 8) : Number(metadata.readBigUInt64LE(at + 8)),
    union: metadata.readUInt32LE(at + 16),
    number: metadata.readUInt32LE(at + 20),
    uid: isCompact ? metadata.readUInt16LE(at + 24) : metadata.readUInt32LE(at + 24),
    gid: isCompact ? metadata.readUInt16LE(at + 26) : metadata.readUInt32LE(at + 28),
    mtimeSeconds: isCompact ? undefined : metadata.readBigInt64LE(at + 32),
    mtimeNanoseconds: isCompact ? undefined : metadata.readUInt32LE(at + 40),
    xattrBytes,
    sharedXattrs: Array.from({ length: sharedCount }, (_, index) => metadata.readUInt32LE(xattrsAt + 12 + 4 * index)),
    tailAt: xattrsAt + xattrBytes,
  }
}

export interface ReadEntry {
  readonly name: string
  readonly slot: number
  readonly type: number
}

/** The entries of a directory, a list for each block. */
export function blocksOf(metadata: Buffer, inode: ReadInode): ReadEntry[][] {
  return Array.from({ length: Math.ceil(inode.size / 4096) }, (_, number) => {
    const bytes = Math.min(inode.size - number * 4096, 4096)
    const isTail = inode.layout === 2 && bytes < 4096
    const at = isTail ? inode.tailAt : (inode.union + number) * 4096
    return entriesOf(metadata.subarray(at, at + bytes))
  })
}

function entriesOf(block: Buffer): ReadEntry[] {
  const count = block.readUInt16LE(8) / 12
  return Array.from({ length: count }, (_, index) => {
    const nameAt = block.readUInt16LE(12 * index + 8)
    const end = index + 1 < count ? block.readUInt16LE(12 * index + 20) : block.length
    const name = block.toString('latin1', nameAt, end).replace(/\0+$/, '')
    return { name, slot: Number(block.readBigUInt64LE(12 * index)), type: block.readUInt8(12 * index + 10) }
  })
}

/** The slot of a path. */
export function slotOf(metadata: Buffer, path: string): number {
  let slot = metadata.readUInt16LE(1024 + 14)
  for (const name of path.split('/').filter((each) => each !== '')) {
    const entry = blocksOf(metadata, inodeAt(metadata, slot))
      .flat()
      .find((each) => each.name === name)
    if (entry === undefined) throw new Error(`no ${name} in ${path}`)
    slot = entry.slot
  }
  return slot
}

/** Attributes of an inode as the disk has them: number of the prefix, rest of the name, value; shared ones first. */
export function xattrsOf(metadata: Buffer, inode: ReadInode): [index: number, rest: string, value: string][] {
  const sharedAt = metadata.readUInt32LE(1024 + 44) * 4096
  const found = inode.sharedXattrs.map((word) => xattrAt(metadata, sharedAt + 4 * word))
  for (let at = inode.tailAt - inode.xattrBytes + 12 + 4 * found.length; at < inode.tailAt;) {
    const xattr = xattrAt(metadata, at)
    found.push(xattr)
    at = xattr.end
  }
  return found.map(({ index, rest, value }) => [index, rest, value])
}

function xattrAt(metadata: Buffer, at: number) {
  const nameEnd = at + 4 + metadata.readUInt8(at)
  const end = nameEnd + metadata.readUInt16LE(at + 2)
  return {
    index: metadata.readUInt8(at + 1),
    rest: metadata.toString('latin1', at + 4, nameEnd),
    value: metadata.toString('latin1', nameEnd, end),
    end: Math.ceil(end / 4) * 4,
  }
}
