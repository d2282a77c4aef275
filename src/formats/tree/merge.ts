/**
 * Merges layers into one tree (image-spec layer.md, "Applying Changesets"). Each layer is applied in two steps: its whiteouts,
 * which speak only of lower layers and so come first wherever they stand in the archive; then its entries in their order.
 *
 * Symbolic links are never followed. An entry below a name that is a link (or a file) in a lower layer makes that name a
 * directory, as it does in an overlay of the unpacked layers; below one that the same layer made, it is refused.
 */
import { AppError } from '../../base/errors.ts'
import { displayPath, type ByteString } from '../tar/byte-string.ts'
import type { LayerEntry, LayerIndex } from '../tar/layer-index.ts'
import { createTree } from './build.ts'
import { impliedDirectory, nodeAt, type Node } from './node.ts'
import type { Tree } from './tree.ts'
import { whiteoutOf, type Whiteout } from './whiteout.ts'

/** A layer: the digest of its uncompressed blob (named in extents and errors) and its index. */
export interface Layer {
  readonly digest: string
  readonly index: LayerIndex
}

/** Bounds of what the layers of one image may make together; implied directories count. */
export interface TreeLimits {
  readonly names: number
  /** All paths together. A layer that names `a/a/a/…` implies a directory for each letter. */
  readonly pathBytes: number
}

export const TREE_LIMITS: TreeLimits = { names: 1_000_000, pathBytes: 256 * 1024 * 1024 }

/**
 * The tree that the layers, lowest first, make together.
 * @throws {AppError} `invalid`, naming layer and entry, when an entry cannot be applied
 */
export function mergeLayers(layers: readonly Layer[], limits: Partial<TreeLimits> = {}): Tree {
  const merger = new Merger({ ...TREE_LIMITS, ...limits })
  for (const [number, layer] of layers.entries()) merger.apply(layer, number)
  return createTree(merger.root)
}

class Refusal extends Error {}

class Merger {
  readonly root = impliedDirectory(-1)
  readonly #limits: TreeLimits
  #names = 1
  #pathBytes = 0
  #layer = -1
  #digest = ''

  constructor(limits: TreeLimits) {
    this.#limits = limits
  }

  apply({ digest, index }: Layer, number: number): void {
    this.#layer = number
    this.#digest = digest
    const rest: LayerEntry[] = []
    for (const entry of index.entries)
      this.#each(entry, () => {
        const whiteout = whiteoutOf(entry.path)
        if (whiteout === undefined) rest.push(entry)
        else if ('refused' in whiteout) throw new Refusal(whiteout.refused)
        else this.#hide(whiteout)
      })
    for (const entry of rest) this.#each(entry, () => this.#put(entry))
  }

  #each(entry: LayerEntry, step: () => void): void {
    try {
      step()
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      throw new AppError(
        'invalid',
        `Cannot use layer ${this.#digest}: entry "${displayPath(entry.path)}": ${error.message}`,
      )
    }
  }

  /** Takes away what lower layers put; what is not there is hidden already. */
  #hide(whiteout: Whiteout): void {
    if (whiteout.kind === 'opaque') return nodeAt(this.root, whiteout.path)?.children?.clear()
    const { directory, name } = split(whiteout.path)
    nodeAt(this.root, directory)?.children?.delete(name)
  }

  #put(entry: LayerEntry): void {
    if (entry.path === '') return this.#putRoot(entry)
    const { name } = split(entry.path)
    if (entry.kind === 'hardlink') return this.#link(entry, name)
    const siblings = this.#parentOf(entry.path)
    const there = siblings.get(name)
    const inode = { entry, blob: this.#digest }
    if (entry.kind === 'directory' && there?.children) {
      there.inode = inode
      there.layer = this.#layer
      return
    }
    const children = entry.kind === 'directory' ? new Map<ByteString, Node>() : undefined
    this.#set(siblings, name, entry.path.length, { inode, children, layer: this.#layer })
  }

  #putRoot(entry: LayerEntry): void {
    if (entry.kind !== 'directory') throw new Refusal(`the root as a ${entry.kind}`)
    this.root.inode = { entry, blob: this.#digest }
    this.root.layer = this.#layer
  }

  /** A hard link shares the inode that its target has now; later entries for the target do not touch it. */
  #link(entry: LayerEntry, name: ByteString): void {
    const shown = displayPath(entry.target)
    const target = nodeAt(this.root, entry.target)
    if (!target) throw new Refusal(`a hard link to "${shown}", which is not there or was taken away`)
    if (target.children) throw new Refusal(`a hard link to "${shown}", which is a directory`)
    if (entry.target === entry.path || entry.target.startsWith(`${entry.path}/`))
      throw new Refusal(`a hard link to "${shown}", which it replaces`)
    const siblings = this.#parentOf(entry.path)
    // Making the parents may have replaced the target itself: a/b linking to a.
    if (nodeAt(this.root, entry.target) !== target) throw new Refusal(`a hard link to "${shown}", which it replaces`)
    this.#set(siblings, name, entry.path.length, { inode: target.inode, children: undefined, layer: this.#layer })
  }

  /** The names of the directory that a path lies in, its directories made where they are missing. */
  #parentOf(path: ByteString): Map<ByteString, Node> {
    let siblings = this.root.children!
    for (let from = 0, slash = path.indexOf('/'); slash >= 0; from = slash + 1, slash = path.indexOf('/', from)) {
      const name = path.slice(from, slash)
      const there = siblings.get(name)
      siblings = there?.children ?? this.#imply(siblings, path, from, slash, there)
    }
    return siblings
  }

  #imply(siblings: Map<ByteString, Node>, path: ByteString, from: number, slash: number, there: Node | undefined) {
    if (there && there.layer === this.#layer)
      throw new Refusal(`"${displayPath(path.slice(0, slash))}" is a ${there.inode.entry.kind} in the same layer`)
    const made = impliedDirectory(this.#layer)
    this.#set(siblings, path.slice(from, slash), slash, made)
    return made.children!
  }

  #set(siblings: Map<ByteString, Node>, name: ByteString, pathBytes: number, node: Node): void {
    siblings.set(name, node)
    this.#names += 1
    this.#pathBytes += pathBytes
    if (this.#names > this.#limits.names || this.#pathBytes > this.#limits.pathBytes)
      throw new Refusal(
        `more than ${this.#limits.names} names, or ${this.#limits.pathBytes} bytes of paths, in one image`,
      )
  }
}

function split(path: ByteString): { directory: ByteString; name: ByteString } {
  const slash = path.lastIndexOf('/')
  return { directory: path.slice(0, Math.max(slash, 0)), name: path.slice(slash + 1) }
}
