/** A tree as one cpio archive for the kernel's initramfs; data as extents of the layer blobs. */
import { AppError } from '../../base/errors.ts'
import type { Extent } from '../extents.ts'
import { displayPath } from '../tar/byte-string.ts'
import { ExtentSink } from '../tree/extent-sink.ts'
import { fileExtents, type Tree, type TreeEntry } from '../tree/tree.ts'
import { FILE_TYPE_BITS, newcHeader, newcTrailer, TRAILER } from './newc.ts'

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
  let extraInode = tree.inodeCount
  const seenLinks = new Set<number>()
  for (const entry of tree.entries()) {
    const isRepeatedLink = entry.kind === 'symlink' && seenLinks.has(entry.inode)
    if (entry.kind === 'symlink' && entry.linkCount > 1) seenLinks.add(entry.inode)
    writeEntry(sink, tree, entry, isRepeatedLink ? (extraInode += 1) : entry.inode)
  }
  return sink.bytes(newcTrailer()).align(512).done()
}

function writeEntry(sink: ExtentSink, tree: Tree, entry: TreeEntry, inode: number): void {
  if (entry.size > MAX_FILE_BYTES)
    throw new AppError(
      'unsupported',
      `Cannot put "${displayPath(entry.path)}" into an initramfs: it has ${entry.size} bytes, cpio holds at most ${MAX_FILE_BYTES}`,
    )
  const hasData = entry.kind === 'file' && tree.names(entry.inode).at(-1)!.path === entry.path
  const size = entry.kind === 'symlink' || hasData ? entry.size : 0
  const { uid, gid, mtimeSeconds, deviceMajor, deviceMinor } = entry
  const mode = FILE_TYPE_BITS[entry.kind] | entry.mode
  const linkCount = entry.kind === 'symlink' ? 1 : entry.linkCount
  sink.bytes(
    newcHeader({ inode, mode, uid, gid, linkCount, mtimeSeconds, size, deviceMajor, deviceMinor, name: nameOf(entry) }),
  )
  if (entry.kind === 'symlink') sink.text(entry.target)
  if (hasData) sink.extents(fileExtents(entry))
  sink.align(4)
}

/** A file that is called as the end of an archive is written so that it does not end this one. */
function nameOf({ path }: TreeEntry): string {
  if (path === '') return '.'
  return path === TRAILER ? `./${path}` : path
}
