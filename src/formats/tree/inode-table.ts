/** The inodes of a finished tree: numbers, names and metadata, in columns. */
import { IndexSource } from '../tar/index-source.ts'
import { readMetadata, tagOf, writeMetadata, type Metadata } from '../tar/index-record.ts'
import { IndexSink } from '../tar/index-sink.ts'
import { NO_DATA, NO_XATTRS, type LayerEntry } from '../tar/layer-index.ts'
import type { ByteString } from '../tar/byte-string.ts'
import type { Inodes } from './inodes.ts'
import { IMPLIED, type Nodes } from './nodes.ts'
import type { Order } from './order.ts'

const NONE = 0xffff_ffff

/** A directory that no entry describes: 0755, root's, from 1970, as the same layers must always give the same bytes. */
const IMPLIED_DIRECTORY: Metadata = {
  kind: 'directory',
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

export class InodeTable {
  readonly count: number
  /** By position: the inode, counted from 1 in the order of the positions. */
  readonly numbers: Uint32Array
  /** By inode: its first position. */
  readonly #first: Uint32Array
  /** By position: the next position of the same inode, or NONE. */
  readonly #next: Uint32Array
  readonly #links: Uint32Array
  /** By inode: number of the layer, or NONE; tag and place of its metadata. */
  readonly #layers: Uint32Array
  readonly #tags: Uint8Array
  readonly #ats: Uint32Array
  readonly #digests: readonly string[]
  readonly #metadata: Buffer

  constructor(nodes: Nodes, inodes: Inodes, order: Order) {
    const numbered = numberInodes(nodes, inodes, order)
    this.count = numbered.count
    this.numbers = numbered.numbers
    this.#first = numbered.first
    this.#next = numbered.next
    this.#links = numbered.links
    this.#digests = inodes.layers.map(({ digest }) => digest)
    this.#layers = new Uint32Array(this.count + 1)
    this.#tags = new Uint8Array(this.count + 1)
    this.#ats = new Uint32Array(this.count + 1)
    // Only what the tree holds is taken over from the layers' indexes, which are let go.
    const out = new IndexSink()
    const impliedAt = out.length
    writeMetadata(out, IMPLIED_DIRECTORY)
    for (let number = 1; number <= this.count; number += 1) {
      const inode = nodes.inode[order.nodes[this.#first[number]!]!]!
      this.#layers[number] = inode === IMPLIED ? NONE : inodes.layer[inode]!
      this.#tags[number] = inode === IMPLIED ? tagOf(IMPLIED_DIRECTORY) : inodes.tag[inode]!
      this.#ats[number] = inode === IMPLIED ? impliedAt : out.length
      if (inode === IMPLIED) continue
      const { bytes } = inodes.layers[inodes.layer[inode]!]!.index
      out.raw(bytes.subarray(inodes.at[inode], inodes.end[inode]))
    }
    this.#metadata = out.done()
  }

  linkCount(number: number): number {
    return this.#links[number]!
  }

  /** Digest of the layer that an inode comes from; empty for implied directories. */
  blob(number: number): string {
    const layer = this.#layers[number]!
    return layer === NONE ? '' : this.#digests[layer]!
  }

  /** An inode's entry, under the name that is given. */
  entry(number: number, path: ByteString): LayerEntry {
    const source = new IndexSource(this.#metadata, this.#ats[number]!, this.#metadata.length)
    return readMetadata(source, this.#tags[number]!, Number.MAX_SAFE_INTEGER, path)
  }

  firstPosition(number: number): number | undefined {
    return number >= 1 && number <= this.count ? this.#first[number] : undefined
  }

  *positions(number: number): Generator<number> {
    const first = this.firstPosition(number) ?? NONE
    for (let position = first; position !== NONE; position = this.#next[position]!) yield position
  }
}

/** Hard links are nodes of the same inode; every directory is an inode of its own. */
function numberInodes(nodes: Nodes, inodes: Inodes, order: Order) {
  const length = order.nodes.length
  const numbers = new Uint32Array(length)
  const first = new Uint32Array(length + 1)
  const next = new Uint32Array(length).fill(NONE)
  const links = new Uint32Array(length + 1)
  const last = new Uint32Array(length + 1)
  const known = new Uint32Array(inodes.count)
  let count = 0
  for (let position = 0; position < length; position += 1) {
    const node = order.nodes[position]!
    const isDirectory = nodes.isDirectory(node)
    const inode = nodes.inode[node]!
    let number = isDirectory ? 0 : known[inode]!
    if (number === 0) {
      number = count += 1
      first[number] = position
      if (!isDirectory) known[inode] = number
    } else next[last[number]!] = position
    numbers[position] = number
    last[number] = position
    links[number]! += 1
    if (!isDirectory) continue
    // Its own name and its `.`; the `..` of each directory in it.
    links[number]! += 1
    if (position > 0) links[numbers[order.parents[position]!]!]! += 1
  }
  return { count, numbers, first, next, links }
}
