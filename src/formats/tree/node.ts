/** The tree while it is being merged: nodes that are changed in place, and inodes that several nodes may share. */
import type { ByteString } from '../tar/byte-string.ts'
import { NO_DATA, NO_XATTRS, type LayerEntry } from '../tar/layer-index.ts'

/** Metadata and data of one or more names. Hard links are nodes with the same Inode object. */
export interface Inode {
  readonly entry: LayerEntry
  /** Digest of the layer it comes from; empty for implied directories. */
  readonly blob: string
}

export interface Node {
  inode: Inode
  /** Only directories have it. */
  children: Map<ByteString, Node> | undefined
  /** Number of the layer that put this name here or touched it last. */
  layer: number
}

/** A directory that no entry describes: 0755, root's, from 1970, as the same layers must always give the same bytes. */
export function impliedDirectory(layer: number): Node {
  const entry: LayerEntry = {
    kind: 'directory',
    path: '',
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    mtimeNanoseconds: 0,
    size: 0,
    data: NO_DATA,
    target: '',
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: NO_XATTRS,
  }
  return { inode: { entry, blob: '' }, children: new Map(), layer }
}

/** The node at a path, links not followed. */
export function nodeAt(root: Node, path: ByteString): Node | undefined {
  if (path === '') return root
  let node: Node | undefined = root
  for (let from = 0; node && from <= path.length;) {
    const slash = path.indexOf('/', from)
    const end = slash < 0 ? path.length : slash
    node = node.children?.get(path.slice(from, end))
    from = end + 1
  }
  return node
}
