/**
 * The tree while it is being merged: a table of nodes, columns of numbers instead of objects, for there may be a million. A node
 * is a number; 0 is none. Names are interned: equal names are one string and one number. A node that is taken away or replaced
 * stays in its columns as gone, so that a node's number is always greater than that of its directory.
 */
import type { ByteString } from '../tar/byte-string.ts'
import { PATH_BYTES } from '../tar/limits.ts'

const NONE = 0
const REMOVED = 0xffff_ffff
const IS_DIRECTORY = 1
const IS_GONE = 2

/** The inode of all directories that no entry describes. */
export const IMPLIED = 0

export interface NewNode {
  readonly parent: number
  readonly name: number
  readonly inode: number
  readonly isDirectory: boolean
  /** Number of the layer that puts it here. */
  readonly layer: number
}

export class Nodes {
  /** Names by number. */
  readonly names: ByteString[] = []
  readonly #numbers = new Map<ByteString, number>()
  readonly #scratch = Buffer.allocUnsafe(PATH_BYTES)
  /** How many nodes there are, the gone and the none included. */
  count = 1
  parent = new Uint32Array(1024)
  name = new Uint32Array(1024)
  inode = new Uint32Array(1024)
  layer = new Uint32Array(1024)
  #flags = new Uint8Array(1024)
  /** Open addressing over parent and name: a node, NONE or REMOVED. Its length is a power of two. */
  #slots = new Uint32Array(4096)
  #usedSlots = 0
  /** Secret, for otherwise a layer could be made whose names all fall into one slot. They do not show in the result. */
  readonly #seeds = Array.from({ length: 3 }, () => Math.floor(Math.random() * 2 ** 32) | 1)

  /** The number of a name. Equal names have equal numbers. */
  intern(name: ByteString): number {
    const there = this.#numbers.get(name)
    if (there !== undefined) return there
    // A copy: what was cut out of a path would keep all of the path in memory.
    const own = this.#scratch.toString('latin1', 0, this.#scratch.write(name, 'latin1'))
    this.#numbers.set(own, this.names.length)
    return this.names.push(own) - 1
  }

  isDirectory(node: number): boolean {
    return (this.#flags[node]! & IS_DIRECTORY) !== 0
  }

  isGone(node: number): boolean {
    return (this.#flags[node]! & IS_GONE) !== 0
  }

  /** The node of this name in a directory. */
  child(parent: number, name: number): number {
    return this.#slots[this.#slotOf(parent, name)]!
  }

  /** The node at a path below `root`, links not followed. */
  at(root: number, path: ByteString): number {
    if (path === '') return root
    let node = root
    for (let from = 0; node !== NONE && from <= path.length;) {
      const slash = path.indexOf('/', from)
      const end = slash < 0 ? path.length : slash
      const name = this.#numbers.get(path.slice(from, end))
      node = name === undefined ? NONE : this.child(node, name)
      from = end + 1
    }
    return node
  }

  /** Puts a node in its place; what has the name there is gone. */
  put(node: NewNode): number {
    const slot = this.#slotOf(node.parent, node.name)
    const there = this.#slots[slot]!
    const number = this.#append(node)
    if (there !== NONE) this.#flags[there]! |= IS_GONE
    else if ((this.#usedSlots += 1) * 2 > this.#slots.length) {
      this.#rehash()
      return number
    }
    this.#slots[slot] = number
    return number
  }

  /** Lets go of what finds nodes by name: nothing may be looked up or put any more. */
  settle(): void {
    this.#numbers.clear()
    this.#slots = new Uint32Array(0)
  }

  /** The first node, which has no directory and no name. */
  putRoot(layer: number): number {
    return this.#append({ parent: NONE, name: this.intern(''), inode: IMPLIED, isDirectory: true, layer })
  }

  remove(node: number): void {
    this.#flags[node]! |= IS_GONE
    this.#slots[this.#slotOf(this.parent[node]!, this.name[node]!)] = REMOVED
  }

  /** Takes away all that is in a directory. @returns the directory's number from now on */
  clear(directory: number): number {
    const node = {
      parent: this.parent[directory]!,
      name: this.name[directory]!,
      inode: this.inode[directory]!,
      isDirectory: true,
      layer: this.layer[directory]!,
    }
    if (node.parent !== NONE) return this.put(node)
    this.#flags[directory]! |= IS_GONE
    return this.#append(node)
  }

  /** Makes room for so many more nodes at once: growing by steps leaves the smaller columns behind. */
  reserve(more: number): void {
    const { length } = this.parent
    if (this.count + more > length) this.#grow(Math.max(this.count + more, length + (length >> 2)))
    while (this.#slots.length < 2 * (this.#usedSlots + more)) this.#rehash()
  }

  #append(node: NewNode): number {
    if (this.count === this.parent.length) this.#grow(this.count * 2)
    const number = this.count++
    this.parent[number] = node.parent
    this.name[number] = node.name
    this.inode[number] = node.inode
    this.layer[number] = node.layer
    this.#flags[number] = node.isDirectory ? IS_DIRECTORY : 0
    return number
  }

  #grow(length: number): void {
    this.parent = longer(this.parent, new Uint32Array(length))
    this.name = longer(this.name, new Uint32Array(length))
    this.inode = longer(this.inode, new Uint32Array(length))
    this.layer = longer(this.layer, new Uint32Array(length))
    this.#flags = longer(this.#flags, new Uint8Array(length))
  }

  #rehash(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2)
    this.#usedSlots = 0
    for (let node = 1; node < this.count; node += 1) {
      if (this.isGone(node) || this.parent[node] === NONE) continue
      this.#slots[this.#slotOf(this.parent[node]!, this.name[node]!)] = node
      this.#usedSlots += 1
    }
  }

  /** The slot that holds the node, or the empty one where it would go. */
  #slotOf(parent: number, name: number): number {
    const mask = this.#slots.length - 1
    const [a, b, c] = this.#seeds
    let hash = Math.imul(parent ^ c!, a!)
    hash = Math.imul(hash ^ (hash >>> 15) ^ name, b!)
    for (let slot = (hash ^ (hash >>> 16)) & mask; ; slot = (slot + 1) & mask) {
      const node = this.#slots[slot]!
      if (node === NONE) return slot
      if (node !== REMOVED && this.parent[node] === parent && this.name[node] === name) return slot
    }
  }
}

export function longer<T extends Uint32Array | Uint8Array>(from: T, into: T): T {
  into.set(from)
  return into
}
