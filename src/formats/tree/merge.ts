/**
 * Merges layers into one tree (image-spec layer.md, "Applying Changesets"). Each layer is applied in two steps: its whiteouts,
 * which speak only of lower layers and so come first wherever they stand in the archive; then its entries in their order.
 *
 * Symbolic links are never followed. An entry below a name that is a link (or a file) in a lower layer makes that name a
 * directory, as it does in an overlay of the unpacked layers; below one that the same layer made, it is refused.
 */
import { AppError } from '../../base/errors.ts'
import { displayPath, type ByteString } from '../tar/byte-string.ts'
import type { PassedRecord } from '../tar/index-record.ts'
import type { LayerIndex } from '../tar/layer-index.ts'
import { packIndex } from '../tar/packed-index.ts'
import { createTree } from './build.ts'
import { Inodes } from './inodes.ts'
import { IMPLIED, Nodes, type NewNode } from './nodes.ts'
import type { Tree } from './tree.ts'
import { whiteoutOf, type Whiteout } from './whiteout.ts'

/** A layer: the digest of its uncompressed blob (named in extents and errors) and its index. */
export interface Layer {
  readonly digest: string
  readonly index: LayerIndex
}

/** Bounds of what the layers of one image may make together; docs/reference/limits.md has the reasons. */
export interface TreeLimits {
  /** Implied directories count. */
  readonly names: number
  /** All paths together. A layer that names `a/a/a/…` implies a directory for each letter. */
  readonly pathBytes: number
  /** The layers' indexes together, which are held until the tree is made. */
  readonly indexBytes: number
}

export const TREE_LIMITS: TreeLimits = {
  names: 1_000_000,
  pathBytes: 128 * 1024 * 1024,
  indexBytes: 64 * 1024 * 1024,
}

/** Takes layers, lowest first, as they are read: all at once may be more than is allowed. */
export interface Merger {
  /** @throws {AppError} `invalid`, naming layer and entry, when an entry cannot be applied or a limit is passed */
  apply(layer: Layer): void
  /** The tree that the layers make together. To be called once, at the end */
  tree(): Tree
}

export function createMerger(limits: Partial<TreeLimits> = {}): Merger {
  const state = new MergerState({ ...TREE_LIMITS, ...limits })
  return { apply: (layer) => state.apply(layer), tree: () => createTree(state.nodes, state.inodes, state.root) }
}

/** The tree that the layers, lowest first, make together. @throws {AppError} as Merger.apply */
export function mergeLayers(layers: readonly Layer[], limits: Partial<TreeLimits> = {}): Tree {
  const merger = createMerger(limits)
  for (const layer of layers) merger.apply(layer)
  return merger.tree()
}

class Refusal extends Error {}

class MergerState {
  readonly nodes = new Nodes()
  readonly inodes = new Inodes()
  root = this.nodes.putRoot(-1 >>> 0)
  readonly #limits: TreeLimits
  #names = 1
  #pathBytes = 0
  #indexBytes = 0
  #layer = -1
  #digest = ''
  /** The directory of the entry before: archives mostly list what is in a directory in a row. */
  #directory = { path: '', node: this.root }

  constructor(limits: TreeLimits) {
    this.#limits = limits
  }

  apply({ digest, index }: Layer): void {
    this.#layer += 1
    this.#digest = digest
    const packed = packIndex(index)
    this.#indexBytes += packed.bytes.length
    if (this.#indexBytes > this.#limits.indexBytes)
      throw new AppError(
        'invalid',
        `Cannot use layer ${digest}: with it, the image has more than ${this.#limits.indexBytes} bytes of layer indexes`,
      )
    this.inodes.layers.push({ digest, index: packed })
    this.nodes.reserve(packed.entryCount)
    this.inodes.reserve(packed.entryCount)
    const { hasWhiteouts } = packed
    if (hasWhiteouts)
      for (const record of packed.records()) {
        const whiteout = whiteoutOf(record.path)
        if (whiteout === undefined) continue
        this.#try(record, () => this.#hide(whiteout))
      }
    this.#directory = { path: '', node: this.root }
    for (const record of packed.records())
      if (!hasWhiteouts || whiteoutOf(record.path) === undefined) this.#try(record, () => this.#put(record))
  }

  #try(record: PassedRecord, step: () => void): void {
    try {
      step()
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      throw new AppError(
        'invalid',
        `Cannot use layer ${this.#digest}: entry "${displayPath(record.path)}": ${error.message}`,
      )
    }
  }

  /** Takes away what lower layers put; what is not there is hidden already. */
  #hide(whiteout: Whiteout | { readonly refused: string }): void {
    if ('refused' in whiteout) throw new Refusal(whiteout.refused)
    const node = this.nodes.at(this.root, whiteout.path)
    if (node === 0) return
    if (whiteout.kind === 'removal') return this.nodes.remove(node)
    if (!this.nodes.isDirectory(node)) return
    // Cleared, it is a new node.
    this.#charge(0)
    const cleared = this.nodes.clear(node)
    if (node === this.root) this.root = cleared
  }

  #put(record: PassedRecord): void {
    const { kind, path } = record
    if (path === '') return this.#putRoot(record)
    if (kind === 'hardlink') return this.#link(record)
    const parent = this.#parentOf(path)
    const name = this.#nameOf(path)
    const isDirectory = kind === 'directory'
    const there = this.nodes.child(parent, name)
    if (isDirectory && this.nodes.isDirectory(there)) return this.#describe(there, record)
    this.#set({ parent, name, inode: this.inodes.add(record), isDirectory }, path.length)
  }

  #putRoot(record: PassedRecord): void {
    if (record.kind !== 'directory') throw new Refusal(`the root as a ${record.kind}`)
    this.#describe(this.root, record)
  }

  /** Gives a directory that is there already its metadata; no other name has its inode. */
  #describe(directory: number, record: PassedRecord): void {
    this.nodes.inode[directory] = this.inodes.add(record, this.nodes.inode[directory])
    this.nodes.layer[directory] = this.#layer
  }

  /** A hard link shares the inode that its target has now; later entries for the target do not touch it. */
  #link({ path, target: to }: PassedRecord): void {
    const shown = displayPath(to)
    const target = this.nodes.at(this.root, to)
    if (target === 0) throw new Refusal(`a hard link to "${shown}", which is not there or was taken away`)
    if (this.nodes.isDirectory(target)) throw new Refusal(`a hard link to "${shown}", which is a directory`)
    if (to === path || to.startsWith(`${path}/`)) throw new Refusal(`a hard link to "${shown}", which it replaces`)
    const parent = this.#parentOf(path)
    // Making the parents may have replaced the target itself: a/b linking to a.
    if (this.nodes.at(this.root, to) !== target) throw new Refusal(`a hard link to "${shown}", which it replaces`)
    const inode = this.nodes.inode[target]!
    this.#set({ parent, name: this.#nameOf(path), inode, isDirectory: false }, path.length)
  }

  #nameOf(path: ByteString): number {
    return this.nodes.intern(path.slice(path.lastIndexOf('/') + 1))
  }

  /** The directory that a path lies in, made where it is missing. */
  #parentOf(path: ByteString): number {
    const end = Math.max(path.lastIndexOf('/'), 0)
    const { path: known, node } = this.#directory
    if (known.length === end && path.startsWith(known)) return node
    let parent = this.root
    for (let from = 0, slash = path.indexOf('/'); slash >= 0; from = slash + 1, slash = path.indexOf('/', from)) {
      const name = this.nodes.intern(path.slice(from, slash))
      const there = this.nodes.child(parent, name)
      parent = this.nodes.isDirectory(there) ? there : this.#imply(parent, name, path.slice(0, slash), there)
    }
    this.#directory = { path: path.slice(0, end), node: parent }
    return parent
  }

  #imply(parent: number, name: number, path: ByteString, there: number): number {
    if (there !== 0 && this.nodes.layer[there] === this.#layer)
      throw new Refusal(`"${displayPath(path)}" is a ${this.inodes.kindOf(this.nodes.inode[there]!)} in the same layer`)
    return this.#set({ parent, name, inode: IMPLIED, isDirectory: true }, path.length)
  }

  #set(node: Omit<NewNode, 'layer'>, pathBytes: number): number {
    // What replaces a directory may have replaced the one that is remembered, or one above it.
    const there = this.nodes.child(node.parent, node.name)
    if (this.nodes.isDirectory(there)) this.#directory = { path: '', node: this.root }
    this.#charge(pathBytes)
    return this.nodes.put({ ...node, layer: this.#layer })
  }

  #charge(pathBytes: number): void {
    this.#names += 1
    this.#pathBytes += pathBytes
    if (this.#names > this.#limits.names || this.#pathBytes > this.#limits.pathBytes)
      throw new Refusal(
        `more than ${this.#limits.names} names, or ${this.#limits.pathBytes} bytes of paths, in one image`,
      )
  }
}
