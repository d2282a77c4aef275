/**
 * Extended attributes while a file system is laid out. Each is kept once, as it stands on the disk; what two inodes have in
 * common, and what is large, goes into the shared area, the rest behind its inode.
 */
import type { ByteString } from '../tar/byte-string.ts'
import type { TreeEntry, TreeEntryKind } from '../tree/tree.ts'
import { MAX_SHARED_XATTRS, XATTR_HEAD_BYTES } from './on-disk.ts'

/** A name is stored as the number of its prefix and the rest; the two of access control lists have no rest. */
const PREFIXES: readonly { readonly index: number; readonly prefix: ByteString; readonly isWhole: boolean }[] = [
  { index: 1, prefix: 'user.', isWhole: false },
  { index: 2, prefix: 'system.posix_acl_access', isWhole: true },
  { index: 3, prefix: 'system.posix_acl_default', isWhole: true },
  { index: 4, prefix: 'trusted.', isWhole: false },
  { index: 6, prefix: 'security.', isWhole: false },
]
/** Larger ones are shared even if one inode alone has them: inodes stay close to each other. */
const LARGE_BYTES = 1024
const NOT_SHARED = 0xffff_ffff

/**
 * Whether Linux keeps an attribute of such a name on a disk. Names without a prefix that it knows, and `user.` on what is neither
 * file nor directory (xattr(7)), it refuses to set on any file system; container runtimes leave them out, and so do we.
 */
export function isStorable(name: ByteString, kind: TreeEntryKind): boolean {
  if (name.startsWith('user.') && kind !== 'file' && kind !== 'directory') return false
  return PREFIXES.some(({ prefix, isWhole }) =>
    isWhole ? name === prefix : name.startsWith(prefix) && name.length > prefix.length,
  )
}

export class AttributePool {
  readonly #numbers = new Map<ByteString, number>()
  readonly #encoded: ByteString[] = []
  #uses = new Uint32Array(64)
  /** By number: where it lies in the shared area, in words of 4 bytes. */
  #sharedAt = new Uint32Array(0)
  /** By inode: where its attributes begin in `#lists`. */
  readonly #from: Uint32Array
  #lists = new Uint32Array(64)
  #listed = 0
  /** Bytes of the shared area; known when settled. */
  sharedBytes = 0

  /** @param inodeCount inodes are numbered from 1 */
  constructor(inodeCount: number) {
    this.#from = new Uint32Array(inodeCount + 2)
  }

  /** Takes the attributes of an inode; inodes come in ascending order. */
  add({ inode, kind, xattrs }: TreeEntry): void {
    for (const [name, value] of xattrs) if (isStorable(name, kind)) this.#list(this.#numberOf(encode(name, value)))
    this.#from[inode + 1] = this.#listed
  }

  /** Decides which are shared: nothing may be added any more. */
  settle(): void {
    this.#sharedAt = new Uint32Array(this.#encoded.length).fill(NOT_SHARED)
    for (const [number, { length }] of this.#encoded.entries()) {
      if (this.#uses[number]! < 2 && length <= LARGE_BYTES) continue
      this.#sharedAt[number] = this.sharedBytes / 4
      this.sharedBytes += length
    }
  }

  /** Bytes behind the inode: a head, words for shared attributes, then the others. 0 where it has none. */
  bytesOf(inode: number): number {
    const [from, to] = [this.#from[inode]!, this.#from[inode + 1]!]
    if (from === to) return 0
    let bytes = XATTR_HEAD_BYTES
    let shared = 0
    for (let at = from; at < to; at += 1) {
      const isShared = this.#isShared(at, shared)
      if (isShared) shared += 1
      bytes += isShared ? 4 : this.#encoded[this.#lists[at]!]!.length
    }
    return bytes
  }

  /** Writes what stands behind the inode. */
  write(inode: number, bytes: Buffer, at: number): void {
    const [from, to] = [this.#from[inode]!, this.#from[inode + 1]!]
    if (from === to) return
    const inline: number[] = []
    let shared = 0
    for (let index = from; index < to; index += 1) {
      const number = this.#lists[index]!
      if (!this.#isShared(index, shared)) inline.push(number)
      else bytes.writeUInt32LE(this.#sharedAt[number]!, at + XATTR_HEAD_BYTES + 4 * shared++)
    }
    bytes.writeUInt8(shared, at + 4)
    let end = at + XATTR_HEAD_BYTES + 4 * shared
    for (const number of inline) end += bytes.write(this.#encoded[number]!, end, 'latin1')
  }

  writeShared(area: Buffer): void {
    for (const [number, encoded] of this.#encoded.entries())
      if (this.#sharedAt[number] !== NOT_SHARED) area.write(encoded, this.#sharedAt[number]! * 4, 'latin1')
  }

  /** @param shared how many of the inode's were shared before this one */
  #isShared(index: number, shared: number): boolean {
    return shared < MAX_SHARED_XATTRS && this.#sharedAt[this.#lists[index]!] !== NOT_SHARED
  }

  #numberOf(encoded: ByteString): number {
    let number = this.#numbers.get(encoded)
    if (number === undefined) {
      number = this.#encoded.push(encoded) - 1
      this.#numbers.set(encoded, number)
      if (number >= this.#uses.length) this.#uses = longer(this.#uses)
    }
    this.#uses[number]! += 1
    return number
  }

  #list(number: number): void {
    if (this.#listed === this.#lists.length) this.#lists = longer(this.#lists)
    this.#lists[this.#listed++] = number
  }
}

/** Lengths, prefix, rest of the name, value, zeros up to a word. */
function encode(name: ByteString, value: Uint8Array): ByteString {
  const { index, prefix } = PREFIXES.find((each) => name.startsWith(each.prefix))!
  const rest = name.slice(prefix.length)
  const bytes = Buffer.alloc(Math.ceil((4 + rest.length + value.length) / 4) * 4)
  bytes.writeUInt8(rest.length, 0)
  bytes.writeUInt8(index, 1)
  bytes.writeUInt16LE(value.length, 2)
  bytes.write(rest, 4, 'latin1')
  bytes.set(value, 4 + rest.length)
  return bytes.toString('latin1')
}

function longer(from: Uint32Array): Uint32Array<ArrayBuffer> {
  const into = new Uint32Array(2 * from.length)
  into.set(from)
  return into
}
