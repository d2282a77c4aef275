/** Freezes merged nodes into a Tree: order, inode numbers and link counts are fixed here. Entries are made when asked for. */
import type { ByteString } from '../tar/byte-string.ts'
import type { Inodes } from './inodes.ts'
import { InodeTable } from './inode-table.ts'
import type { Nodes } from './nodes.ts'
import { orderOf, type Order } from './order.ts'
import { resolveIn } from './resolve.ts'
import type { Tree, TreeEntry } from './tree.ts'

/** The tree that the nodes below `root` make. Neither nodes nor the layers' indexes are kept. */
export function createTree(nodes: Nodes, inodes: Inodes, root: number): Tree {
  const { names } = nodes
  nodes.settle()
  const order = orderOf(nodes, root)
  const table = new InodeTable(nodes, inodes, order)
  const nameNumbers = order.nodes.map((node) => nodes.name[node]!)
  const { parents, kids, kidsFrom } = order
  return new DenseTree({ parents, kids, kidsFrom }, names, nameNumbers, table)
}

type Shape = Omit<Order, 'nodes'>

class DenseTree implements Tree {
  readonly entryCount: number
  readonly inodeCount: number
  readonly #shape: Shape
  readonly #names: readonly ByteString[]
  /** By position. */
  readonly #nameNumbers: Uint32Array
  readonly #inodes: InodeTable
  /** The directory whose path was asked for last: siblings are mostly asked for in a row. */
  #last = { position: 0, path: '' }

  constructor(shape: Shape, names: readonly ByteString[], nameNumbers: Uint32Array, inodes: InodeTable) {
    this.entryCount = nameNumbers.length
    this.inodeCount = inodes.count
    this.#shape = shape
    this.#names = names
    this.#nameNumbers = nameNumbers
    this.#inodes = inodes
  }

  *entries(): Generator<TreeEntry, undefined> {
    for (let position = 0; position < this.entryCount; position += 1) yield this.#entry(position)
    return undefined
  }

  at(position: number): TreeEntry | undefined {
    return position >= 0 && position < this.entryCount ? this.#entry(position) : undefined
  }

  get(path: ByteString): TreeEntry | undefined {
    const position = this.#find(path)
    return position === undefined ? undefined : this.#entry(position)
  }

  children(path: ByteString): readonly TreeEntry[] {
    const position = this.#find(path)
    if (position === undefined) return []
    const { kids, kidsFrom } = this.#shape
    return Array.from(kids.subarray(kidsFrom[position], kidsFrom[position + 1]), (kid) => this.#entry(kid))
  }

  resolve(path: ByteString): TreeEntry | undefined {
    return resolveIn((at) => this.get(at), path)
  }

  names(inode: number): readonly TreeEntry[] {
    return Array.from(this.#inodes.positions(inode), (position) => this.#entry(position))
  }

  firstName(inode: number): TreeEntry | undefined {
    const position = this.#inodes.firstPosition(inode)
    return position === undefined ? undefined : this.#entry(position)
  }

  #find(path: ByteString): number | undefined {
    const plain = path.startsWith('/') || path.endsWith('/') ? path.replace(/^\/+|\/+$/g, '') : path
    let position: number | undefined = 0
    for (let from = 0; position !== undefined && from < plain.length;) {
      const slash = plain.indexOf('/', from)
      const end = slash < 0 ? plain.length : slash
      position = this.#child(position, plain.slice(from, end))
      from = end + 1
    }
    return position
  }

  #child(directory: number, name: ByteString): number | undefined {
    const { kids, kidsFrom } = this.#shape
    let low = kidsFrom[directory]!
    let high = kidsFrom[directory + 1]!
    while (low < high) {
      const middle = (low + high) >>> 1
      const kid = kids[middle]!
      const there = this.#name(kid)
      if (there === name) return kid
      if (there < name) low = middle + 1
      else high = middle
    }
    return undefined
  }

  #name(position: number): ByteString {
    return this.#names[this.#nameNumbers[position]!]!
  }

  #path(position: number): ByteString {
    if (position === 0) return ''
    const parent = this.#shape.parents[position]!
    if (parent === 0) return this.#name(position)
    if (this.#last.position !== parent) this.#last = { position: parent, path: this.#joined(parent) }
    return `${this.#last.path}/${this.#name(position)}`
  }

  /** Without recursion: 2,000 directories within each other are allowed. */
  #joined(position: number): ByteString {
    const names: ByteString[] = []
    for (let at = position; at !== 0; at = this.#shape.parents[at]!) names.push(this.#name(at))
    return names.reverse().join('/')
  }

  #entry(position: number): TreeEntry {
    const inode = this.#inodes.numbers[position]!
    const entry = this.#inodes.entry(inode, this.#path(position))
    const { kind, target } = entry
    if (kind === 'hardlink') throw new Error(`hard link "${entry.path}" without an inode`)
    const isLink = kind === 'symlink'
    return {
      kind,
      path: entry.path,
      // Linux gives every symbolic link these bits, whatever an archive says.
      mode: isLink ? 0o777 : entry.mode,
      uid: entry.uid,
      gid: entry.gid,
      mtimeSeconds: entry.mtimeSeconds,
      mtimeNanoseconds: entry.mtimeNanoseconds,
      size: isLink ? target.length : entry.size,
      data: entry.data,
      blob: this.#inodes.blob(inode),
      target,
      deviceMajor: entry.deviceMajor,
      deviceMinor: entry.deviceMinor,
      xattrs: entry.xattrs,
      inode,
      linkCount: this.#inodes.linkCount(inode),
    }
  }
}
