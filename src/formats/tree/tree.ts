/**
 * The merged tree of an image: every name with its metadata and the place of its bytes in the layer blobs. It is a value; all
 * projections (tar, cpio, EROFS, file list) are pure functions of it.
 */
import type { Extent } from '../extents.ts'
import type { ByteString } from '../tar/byte-string.ts'
import type { DataRun } from '../tar/layer-index.ts'

export const TREE_ENTRY_KINDS = ['file', 'directory', 'symlink', 'character', 'block', 'fifo'] as const
export type TreeEntryKind = (typeof TREE_ENTRY_KINDS)[number]

/** One name of the tree. Names that are hard links of each other have equal metadata and the same `inode`. */
export interface TreeEntry {
  readonly kind: TreeEntryKind
  /** Names joined by `/`, without leading slash; the root is the empty string. Bytes: see `displayPath`. */
  readonly path: ByteString
  /** Permission bits with set-uid, set-gid and sticky: 0..0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Seconds since 1970, rounded down (negative before it); nanoseconds 0..999,999,999. */
  readonly mtimeSeconds: number
  readonly mtimeNanoseconds: number
  /** Files: logical size in bytes. Symlinks: length of the target. Else 0. */
  readonly size: number
  /** Files: where the data lies in `blob`; what no run covers reads as zeros. */
  readonly data: readonly DataRun[]
  /** Digest of the layer that this entry's metadata and data come from; empty for implied directories. */
  readonly blob: string
  /** Symlinks: the target as it stands. Else empty. */
  readonly target: ByteString
  readonly deviceMajor: number
  readonly deviceMinor: number
  readonly xattrs: ReadonlyMap<ByteString, Uint8Array>
  /** 1 for the root, then counted in the order of `entries()`; equal for hard links of each other. */
  readonly inode: number
  /** Files and the like: how many names the inode has. Directories: 2 + its subdirectories. */
  readonly linkCount: number
}

/** A merged tree. Paths may be given with or without a leading slash. */
export interface Tree {
  /** How many names there are, the root included. */
  readonly entryCount: number
  /** How many inodes there are: `entryCount` less the extra names of hard links. */
  readonly inodeCount: number
  /** All entries, depth first: a directory before what is in it, siblings in the order of their bytes. First the root. */
  entries(): IterableIterator<TreeEntry>
  /** The entry at a place in `entries()`, counted from 0; entries are made when they are asked for. */
  at(position: number): TreeEntry | undefined
  /** The entry of exactly this name; symbolic links are not followed. */
  get(path: ByteString): TreeEntry | undefined
  /** What is in a directory, in the order of the bytes of the names; empty for all that is not a directory. */
  children(path: ByteString): readonly TreeEntry[]
  /**
   * The entry that a path leads to inside the tree: symbolic links are followed, at most 40, and `..` at the root stays there.
   * Undefined where there is none, or where links go round.
   */
  resolve(path: ByteString): TreeEntry | undefined
  /** All names of an inode, in the order of `entries()`. */
  names(inode: number): readonly TreeEntry[]
  /** The first of `names(inode)`: an inode may have half a million. */
  firstName(inode: number): TreeEntry | undefined
}

/** The last name of a path; empty for the root. */
export function nameOf(path: ByteString): ByteString {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** A file's content as extents of its layer's blob, holes as zeros. Empty for all that is not a file. */
export function fileExtents(entry: TreeEntry): Extent[] {
  const extents: Extent[] = []
  let at = 0
  for (const run of entry.data) {
    if (run.at > at) extents.push({ kind: 'zeros', length: run.at - at })
    extents.push({ kind: 'blob', blob: entry.blob, offset: run.offset, length: run.length })
    at = run.at + run.length
  }
  if (entry.kind === 'file' && entry.size > at) extents.push({ kind: 'zeros', length: entry.size - at })
  return extents
}
