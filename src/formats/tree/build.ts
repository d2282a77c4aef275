/** Freezes merged nodes into a Tree: order, inode numbers and link counts are fixed here. */
import type { ByteString } from '../tar/byte-string.ts'
import type { Inode, Node } from './node.ts'
import { resolveIn } from './resolve.ts'
import type { Tree, TreeEntry } from './tree.ts'

interface Place {
  readonly path: ByteString
  readonly node: Node
}

/** The tree that the nodes below `root` make. */
export function createTree(root: Node): Tree {
  const places = inOrder(root)
  const counts = countNames(places)
  const numbers = new Map<Inode, number>()
  const byPath = new Map<ByteString, TreeEntry>()
  const byInode: TreeEntry[][] = [[]]
  for (const { path, node } of places) {
    let inode = numbers.get(node.inode)
    if (inode === undefined) numbers.set(node.inode, (inode = numbers.size + 1))
    const entry = entryOf(path, node, inode, counts.get(node.inode)!)
    byPath.set(path, entry)
    ;(byInode[inode] ??= []).push(entry)
  }
  const childPaths = childrenOf(places, byPath)
  return {
    entryCount: places.length,
    inodeCount: numbers.size,
    entries: () => byPath.values(),
    get: (path) => byPath.get(plain(path)),
    children: (path) => childPaths.get(plain(path)) ?? [],
    resolve: (path) => resolveIn((at) => byPath.get(at), path),
    names: (inode) => byInode[inode] ?? [],
  }
}

/** Depth first with a stack of its own: 2,000 directories within each other are allowed. */
function inOrder(root: Node): Place[] {
  const places: Place[] = []
  const stack: Place[] = [{ path: '', node: root }]
  for (let place = stack.pop(); place; place = stack.pop()) {
    places.push(place)
    const { path, node } = place
    if (!node.children) continue
    const names = [...node.children.keys()].sort(descending)
    for (const name of names)
      stack.push({ path: path === '' ? name : `${path}/${name}`, node: node.children.get(name)! })
  }
  return places
}

function descending(a: ByteString, b: ByteString): number {
  return a < b ? 1 : a > b ? -1 : 0
}

/** Names of each inode; for a directory its own, its `.` and each subdirectory's `..`. */
function countNames(places: readonly Place[]): Map<Inode, number> {
  const counts = new Map<Inode, number>()
  for (const { node } of places) {
    if (!node.children) {
      counts.set(node.inode, (counts.get(node.inode) ?? 0) + 1)
      continue
    }
    let subdirectories = 0
    for (const child of node.children.values()) if (child.children) subdirectories += 1
    counts.set(node.inode, 2 + subdirectories)
  }
  return counts
}

function entryOf(path: ByteString, { inode: { entry, blob } }: Node, inode: number, linkCount: number): TreeEntry {
  const { kind, target } = entry
  if (kind === 'hardlink') throw new Error(`hard link "${path}" without an inode`)
  const isLink = kind === 'symlink'
  return {
    kind,
    path,
    // Linux gives every symbolic link these bits, whatever an archive says.
    mode: isLink ? 0o777 : entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    mtimeSeconds: entry.mtimeSeconds,
    mtimeNanoseconds: entry.mtimeNanoseconds,
    size: isLink ? target.length : entry.size,
    data: entry.data,
    blob,
    target,
    deviceMajor: entry.deviceMajor,
    deviceMinor: entry.deviceMinor,
    xattrs: entry.xattrs,
    inode,
    linkCount,
  }
}

function childrenOf(places: readonly Place[], byPath: ReadonlyMap<ByteString, TreeEntry>) {
  const children = new Map<ByteString, TreeEntry[]>()
  for (const { path } of places) {
    if (path === '') continue
    const directory = path.slice(0, Math.max(path.lastIndexOf('/'), 0))
    const there = children.get(directory)
    if (there) there.push(byPath.get(path)!)
    else children.set(directory, [byPath.get(path)!])
  }
  return children
}

function plain(path: ByteString): ByteString {
  return path.startsWith('/') || path.endsWith('/') ? path.replace(/^\/+|\/+$/g, '') : path
}
