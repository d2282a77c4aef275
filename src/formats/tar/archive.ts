/** A tar archive of named files, as image archives are: plain files of root, one time for all. */
import { extentLength, type Extent } from '../extents.ts'
import { ExtentSink } from '../tree/extent-sink.ts'
import { byteStringOf } from './byte-string.ts'
import { BLOCK_BYTES } from './header.ts'
import { headerBlocks, TYPEFLAGS, type EntryMetadata } from './header-blocks.ts'
import { NO_XATTRS } from './layer-index.ts'

export interface ArchiveFile {
  /** A relative path. */
  readonly name: string
  readonly content: readonly Extent[]
}

/** The files in the given order, mode 0644. @param mtimeSeconds of all of them, since 1970 */
export function tarArchive(files: readonly ArchiveFile[], mtimeSeconds = 0): Extent[] {
  const entry: EntryMetadata = {
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeSeconds,
    mtimeNanoseconds: 0,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: NO_XATTRS,
  }
  const sink = new ExtentSink()
  for (const { name, content } of files) {
    const size = content.reduce((sum, extent) => sum + extentLength(extent), 0)
    const header = headerBlocks({ entry, typeflag: TYPEFLAGS.file, name: byteStringOf(name), target: '', size })
    sink.bytes(header.bytes()).extents(content).align(BLOCK_BYTES)
  }
  return sink.zeros(2 * BLOCK_BYTES).done()
}
