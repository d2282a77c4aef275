/** A tree as one cpio archive for the kernel's initramfs; data as extents of the layer blobs. */
import { AppError } from '../../base/errors.ts'
import type { Extent } from '../extents.ts'
import { displayPath } from '../tar/byte-string.ts'
import { ExtentSink } from '../tree/extent-sink.ts'
import { fileExtents, type Tree, type TreeEntry } from '../tree/tree.ts'
import { FILE_TYPE_BITS, newcHeader, newcHeaderLength, newcTrailer, TRAILER } from './newc.ts'

/** The size field has 32 bits. */
const MAX_FILE_BYTES = 0xffff_ffff

/**
 * The tree as a newc archive, parents before children. Of hard links, the last name carries the data and the others have size
 * 0: GNU cpio's order, which the kernel and busybox unpack as well. The kernel links no symbolic links, so each is its own.
 * Extended attributes do not fit into the format.
 * @throws {AppError} `unsupported` when a file is larger than 4 GiB - 1
 */
export function cpioExtents(tree: Tree): Extent[] {
  const sink = new ExtentSink()
  const makeWithData = (position: number) => header(tree.at(position)!, true)
  const makeWithout = (position: number) => header(tree.at(position)!, false)
  const isLast = createLinkCounter()
  const seenLinks = new Set<number>()
  let extraInode = tree.inodeCount
  let position = -1
  for (const entry of tree.entries()) {
    position += 1
    checkSize(entry)
    const hasData = entry.kind === 'file' && isLast(entry)
    if (entry.kind === 'symlink' && entry.linkCount > 1 && seenLinks.has(entry.inode))
      sink.bytes(header(entry, false, (extraInode += 1)))
    else sink.made(headerLength(entry), position, hasData ? makeWithData : makeWithout)
    if (entry.kind === 'symlink') seenLinks.add(entry.inode)
    if (hasData) sink.extents(fileExtents(entry))
    sink.align(4)
  }
  return sink.bytes(newcTrailer()).align(512).done()
}

function checkSize({ size, path }: TreeEntry): void {
  if (size > MAX_FILE_BYTES)
    throw new AppError(
      'unsupported',
      `Cannot put "${displayPath(path)}" into an initramfs: it has ${size} bytes, cpio holds at most ${MAX_FILE_BYTES}`,
    )
}

/** Tells of each file, in the order of the tree, whether it is the last name of its inode. */
function createLinkCounter(): (entry: TreeEntry) => boolean {
  const seen = new Map<number, number>()
  return ({ inode, linkCount }) => {
    if (linkCount === 1) return true
    const count = (seen.get(inode) ?? 0) + 1
    if (count < linkCount) seen.set(inode, count)
    else seen.delete(inode)
    return count === linkCount
  }
}

/** Header, name and, of a symbolic link, the target. */
function header(entry: TreeEntry, hasData: boolean, inode = entry.inode): Uint8Array {
  const { kind, uid, gid, mtimeSeconds, deviceMajor, deviceMinor } = entry
  const size = kind === 'symlink' || hasData ? entry.size : 0
  const mode = FILE_TYPE_BITS[kind] | entry.mode
  const linkCount = kind === 'symlink' ? 1 : entry.linkCount
  const name = nameOf(entry)
  const bytes = newcHeader({ inode, mode, uid, gid, linkCount, mtimeSeconds, size, deviceMajor, deviceMinor, name })
  return kind === 'symlink' ? Buffer.concat([bytes, Buffer.from(entry.target, 'latin1')]) : bytes
}

function headerLength(entry: TreeEntry): number {
  return newcHeaderLength(nameOf(entry)) + (entry.kind === 'symlink' ? entry.target.length : 0)
}

/** A file that is called as the end of an archive is written so that it does not end this one. */
function nameOf({ path }: TreeEntry): string {
  if (path === '') return '.'
  return path === TRAILER ? `./${path}` : path
}
