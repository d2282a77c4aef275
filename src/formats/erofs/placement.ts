/** Where everything of a file system lies: first all inodes, then shared attributes, directories and long links, then data. */
import { AppError } from '../../base/errors.ts'
import type { Tree } from '../tree/tree.ts'
import { tableBytes } from './chunks.ts'
import type { Directories } from './directories.ts'
import {
  BLOCK_BYTES,
  COMPACT_INODE_BYTES,
  EXTENDED_INODE_BYTES,
  INODES_AT,
  LAYOUTS,
  MAX_BLOCKS,
  MAX_XATTR_BYTES,
  SLOT_BYTES,
} from './on-disk.ts'
import { cannotHold, KINDS, type Survey } from './survey.ts'

export interface Placement {
  /** By inode: the slot that it begins in. */
  readonly slots: Uint32Array
  readonly isCompact: Uint8Array
  readonly layouts: Uint8Array
  readonly xattrBytes: Uint32Array
  /** By inode: size of the content. */
  readonly sizes: Float64Array
  /** By inode: the first block of the content, 0 where there is none. */
  readonly firstBlocks: Uint32Array
  /** Blocks up to the first one of file data: they are made here. */
  readonly metadataBlocks: number
  /** The first block of shared attributes, 0 when there are none. */
  readonly xattrBlock: number
  /** Of the whole device. */
  readonly blocks: number
}

/**
 * @throws {AppError} `unsupported` when an inode has more attributes than EROFS holds, or all files more blocks than it addresses
 */
export function placeTree(tree: Tree, survey: Survey, directories: Directories): Placement {
  const { inodeCount, kinds, attributes, chunked } = survey
  const slots = new Uint32Array(inodeCount + 1)
  const isCompact = new Uint8Array(inodeCount + 1)
  const layouts = new Uint8Array(inodeCount + 1)
  const xattrBytes = new Uint32Array(inodeCount + 1)
  const firstBlocks = new Uint32Array(inodeCount + 1)
  const sizes = survey.sizes.slice()
  for (const position of directories.positions()) sizes[survey.inodes[position]!] = directories.bytesOf(position)

  const room = new InodeRoom()
  for (let inode = 1; inode <= inodeCount; inode += 1) {
    isCompact[inode] = hasCommonTime(survey, inode) ? survey.mayBeCompact[inode]! : 0
    xattrBytes[inode] = attributes.bytesOf(inode)
    if (xattrBytes[inode]! > MAX_XATTR_BYTES)
      throw new AppError(
        'unsupported',
        `${cannotHold(tree.firstName(inode)!)}: its attributes take ${xattrBytes[inode]} bytes, at most ${MAX_XATTR_BYTES}`,
      )
    const core = isCompact[inode] === 1 ? COMPACT_INODE_BYTES : EXTENDED_INODE_BYTES
    const head = core + xattrBytes[inode]!
    const plan = chunked.get(inode)
    const tail = isMadeHere(kinds[inode]!) ? sizes[inode]! % BLOCK_BYTES : 0
    // Content behind an inode lies in one block with it.
    const isInline = tail > 0 && head + tail <= BLOCK_BYTES
    layouts[inode] = plan !== undefined ? LAYOUTS.chunked : isInline ? LAYOUTS.inline : LAYOUTS.plain
    const at = isInline
      ? room.inOneBlock(head + tail)
      : room.anywhere(core, head + (plan === undefined ? 0 : tableBytes(plan)))
    slots[inode] = at / SLOT_BYTES
  }

  let block = Math.ceil(room.end / BLOCK_BYTES)
  const xattrBlock = attributes.sharedBytes === 0 ? 0 : block
  block += Math.ceil(attributes.sharedBytes / BLOCK_BYTES)
  for (let inode = 1; inode <= inodeCount; inode += 1)
    if (isMadeHere(kinds[inode]!)) {
      const count = layouts[inode] === LAYOUTS.inline ? Math.floor : Math.ceil
      block = take(firstBlocks, inode, block, count(sizes[inode]! / BLOCK_BYTES))
    }
  const metadataBlocks = block
  for (let inode = 1; inode <= inodeCount; inode += 1)
    if (KINDS[kinds[inode]!] === 'file')
      block = take(
        firstBlocks,
        inode,
        block,
        chunked.get(inode)?.deviceBlocks ?? Math.ceil(sizes[inode]! / BLOCK_BYTES),
      )
  if (block > MAX_BLOCKS)
    throw new AppError(
      'unsupported',
      `Cannot make an EROFS file system of the image: it takes ${block} blocks of ${BLOCK_BYTES} bytes, at most ${MAX_BLOCKS}`,
    )
  return { slots, isCompact, layouts, xattrBytes, sizes, firstBlocks, metadataBlocks, xattrBlock, blocks: block }
}

/** Whether the content of such inodes is written here, and does not come from a layer. */
function isMadeHere(kind: number): boolean {
  return KINDS[kind] === 'directory' || KINDS[kind] === 'symlink'
}

function hasCommonTime(survey: Survey, inode: number): boolean {
  return (
    survey.mtimeSeconds[inode] === survey.commonSeconds && survey.mtimeNanoseconds[inode] === survey.commonNanoseconds
  )
}

/** @returns the block behind those that were taken */
function take(firstBlocks: Uint32Array, inode: number, block: number, count: number): number {
  if (count > 0) firstBlocks[inode] = block
  return block + count
}

/** Gives inodes their places, in ascending order but for small ones, which fill what was left over before. */
class InodeRoom {
  /** End of all that was given. */
  end = INODES_AT
  /** What was left of a block that something did not fit into. */
  #spare = { at: 0, end: 0 }

  /** A place that lies in one block. */
  inOneBlock(bytes: number): number {
    return this.#spareFor(bytes) ?? this.#next(bytes, bytes)
  }

  /** A place that begins with `core` bytes in one block. */
  anywhere(core: number, bytes: number): number {
    return this.#spareFor(bytes) ?? this.#next(core, bytes)
  }

  #spareFor(bytes: number): number | undefined {
    const { at, end } = this.#spare
    if (at + bytes > end) return undefined
    this.#spare = { at: slotsEnd(at + bytes), end }
    return at
  }

  #next(together: number, bytes: number): number {
    const left = BLOCK_BYTES - (this.end % BLOCK_BYTES)
    if (left < together) {
      if (left > this.#spare.end - this.#spare.at) this.#spare = { at: this.end, end: this.end + left }
      this.end += left
    }
    const at = this.end
    this.end = slotsEnd(at + bytes)
    return at
  }
}

function slotsEnd(at: number): number {
  return Math.ceil(at / SLOT_BYTES) * SLOT_BYTES
}
