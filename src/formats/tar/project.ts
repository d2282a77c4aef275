/**
 * A tree as one tar stream: headers made here, data as extents of the layer blobs. By default all that read tar read it, holes
 * as plain zeros; for GNU tar alone, holes take no room.
 */
import type { Extent } from '../extents.ts'
import { ExtentSink } from '../tree/extent-sink.ts'
import { fileExtents, type Tree, type TreeEntry } from '../tree/tree.ts'
import type { ByteString } from './byte-string.ts'
import { BLOCK_BYTES } from './header.ts'
import { headerBlocks, TYPEFLAGS, type HeaderBlocks } from './header-blocks.ts'
import { sparseMapOf } from './sparse.ts'

export interface TarProjection {
  /** `gnu`: holes as sparse maps and every attribute name, as GNU tar alone reads them. */
  readonly dialect?: 'common' | 'gnu'
  /** Entries to leave out: all names of an inode, never a directory. */
  readonly without?: (entry: TreeEntry) => boolean
}

/** Holes smaller than this together are cheaper as zeros. */
const WORTHWHILE_HOLES_BYTES = 4096

/**
 * The tree as a tar archive, parents before children, ended by two zero blocks. The same tree always gives the same bytes.
 * Of hard links, the first name carries the data and the others link to it. Headers are made when they are read.
 */
export function tarExtents(tree: Tree, { dialect = 'common', without = () => false }: TarProjection = {}): Extent[] {
  const sink = new ExtentSink()
  const isForGnu = dialect === 'gnu'
  const makeEntry = (position: number) => entryHeader(tree.at(position)!, isForGnu).bytes()
  const makeSparse = (position: number) => sparseHeader(tree.at(position)!).bytes()
  const makeLink = (position: number) => linkHeader(tree, tree.at(position)!).bytes()
  let written = 0
  let position = -1
  for (const entry of tree.entries()) {
    position += 1
    if (without(entry)) continue
    // Inodes are numbered in this order: a number that was passed has its data already.
    if (entry.inode <= written) {
      sink.made(linkHeader(tree, entry).length, position, makeLink)
      continue
    }
    written = entry.inode
    if (isForGnu && holesOf(entry) >= WORTHWHILE_HOLES_BYTES)
      sink.made(sparseHeader(entry).length, position, makeSparse).extents(dataOf(entry)).align(BLOCK_BYTES)
    else
      sink.made(entryHeader(entry, isForGnu).length, position, makeEntry).extents(fileExtents(entry)).align(BLOCK_BYTES)
  }
  return sink.zeros(2 * BLOCK_BYTES).done()
}

function entryHeader(entry: TreeEntry, isForGnu: boolean): HeaderBlocks {
  const size = entry.kind === 'file' ? entry.size : 0
  const { target } = entry
  return headerBlocks({ entry, typeflag: TYPEFLAGS[entry.kind], name: nameOf(entry), target, size, isForGnu })
}

/** Header and sparse map. */
function sparseHeader(entry: TreeEntry): HeaderBlocks {
  const map = sparseMapOf(entry.data, entry.size)
  const size = map.length + dataBytes(entry)
  const fields = { entry, typeflag: TYPEFLAGS.file, name: nameOf(entry), target: '' }
  const header = headerBlocks({ ...fields, size, sparseSize: entry.size, isForGnu: true })
  return { length: header.length + map.length, bytes: () => Buffer.concat([header.bytes(), map]) }
}

function linkHeader(tree: Tree, entry: TreeEntry): HeaderBlocks {
  const { path } = tree.firstName(entry.inode)!
  return headerBlocks({ entry, typeflag: TYPEFLAGS.hardlink, name: entry.path, target: path, size: 0 })
}

function nameOf({ kind, path }: TreeEntry): ByteString {
  if (path === '') return './'
  return kind === 'directory' ? `${path}/` : path
}

function holesOf(entry: TreeEntry): number {
  return entry.kind === 'file' ? entry.size - dataBytes(entry) : 0
}

function dataBytes({ data }: TreeEntry): number {
  return data.reduce((sum, { length }) => sum + length, 0)
}

function dataOf({ data, blob }: TreeEntry): Extent[] {
  return data.map(({ offset, length }) => ({ kind: 'blob', blob, offset, length }))
}
