/**
 * A tree as an EROFS file system: metadata made here, file data as rows of the layers' blobs. Every file's data begins on a
 * block, so that neither layers nor what is known of their blocks depend on where a tree puts them.
 */
import { FILE_TYPE_BITS } from '../cpio/newc.ts'
import { ExtentMapBuilder, type ExtentMap } from '../extent-map.ts'
import type { DataRun } from '../tar/layer-index.ts'
import type { Tree, TreeEntry } from '../tree/tree.ts'
import { tableBytes, writeChunks } from './chunks.ts'
import { Directories } from './directories.ts'
import {
  BLOCK_BYTES,
  COMPACT_INODE_BYTES,
  deviceNumber,
  EXTENDED_INODE_BYTES,
  LAYOUTS,
  SLOT_BYTES,
  writeInode,
  writeSuperblock,
} from './on-disk.ts'
import { placeTree, type Placement } from './placement.ts'
import { surveyTree, type Survey } from './survey.ts'

/**
 * The complete file system, without reading a byte of a layer; the same tree and UUID always give the same bytes. Literal bytes
 * come first, then one row for each run of a file's data, in the order of the tree. The size is a multiple of 4096.
 * Attributes that Linux keeps on no disk are left out (docs/reference/limits.md).
 * @param options.uuid 16 bytes: see uuidOf
 * @throws {AppError} `unsupported` when something in the tree is beyond what EROFS holds
 */
export function erofsImage(tree: Tree, { uuid }: { uuid: Uint8Array }): ExtentMap {
  const survey = surveyTree(tree)
  const directories = new Directories(survey)
  const placement = placeTree(tree, survey, directories)
  const builder = new ExtentMapBuilder(placement.metadataBlocks * BLOCK_BYTES)
  const metadata = builder.literalRoom(0, placement.metadataBlocks * BLOCK_BYTES)
  let written = 0
  for (const entry of tree.entries()) {
    // Inodes are numbered in this order: this is another name of one that was written.
    if (entry.inode <= written) continue
    written = entry.inode
    writeEntry(metadata, entry, survey, placement)
    if (entry.kind === 'file') writeData(builder, metadata, entry, survey, placement)
  }
  survey.attributes.writeShared(metadata.subarray(placement.xattrBlock * BLOCK_BYTES))
  for (const position of directories.positions()) {
    const inode = survey.inodes[position]!
    directories.write(position, placement.slots, (block) => metadata.subarray(contentAt(placement, inode, block)))
  }
  writeSuperblock(metadata, {
    rootSlot: placement.slots[survey.inodes[0]!]!,
    inodeCount: survey.inodeCount,
    buildSeconds: survey.commonSeconds,
    buildNanoseconds: survey.commonNanoseconds,
    blocks: placement.blocks,
    xattrBlock: placement.xattrBlock,
    uuid,
    hasChunkedFiles: survey.chunked.size > 0,
  })
  return builder.done(placement.blocks * BLOCK_BYTES)
}

function writeEntry(metadata: Buffer, entry: TreeEntry, survey: Survey, placement: Placement): void {
  const { inode, kind, uid, gid, mtimeSeconds, mtimeNanoseconds, linkCount } = entry
  const at = placement.slots[inode]! * SLOT_BYTES
  writeInode(metadata, at, {
    isCompact: placement.isCompact[inode] === 1,
    layout: placement.layouts[inode]!,
    xattrBytes: placement.xattrBytes[inode]!,
    mode: FILE_TYPE_BITS[kind] | entry.mode,
    linkCount,
    size: placement.sizes[inode]!,
    union: unionOf(entry, survey, placement),
    number: inode,
    uid,
    gid,
    mtimeSeconds,
    mtimeNanoseconds,
  })
  survey.attributes.write(inode, metadata, at + coreBytes(placement, inode))
  if (kind === 'symlink') metadata.write(entry.target, contentAt(placement, inode, 0), 'latin1')
}

function unionOf({ inode, kind, deviceMajor, deviceMinor }: TreeEntry, survey: Survey, placement: Placement): number {
  if (kind === 'character' || kind === 'block') return deviceNumber(deviceMajor, deviceMinor)
  return survey.chunked.get(inode)?.blockBits ?? placement.firstBlocks[inode]!
}

function writeData(
  builder: ExtentMapBuilder,
  metadata: Buffer,
  { inode, blob, data }: TreeEntry,
  survey: Survey,
  placement: Placement,
): void {
  const firstBlock = placement.firstBlocks[inode]!
  const plan = survey.chunked.get(inode)
  const place = (start: number, { offset, length }: DataRun): void => void builder.blob(start, blob, offset, length)
  if (plan === undefined) {
    for (const run of data) place(firstBlock * BLOCK_BYTES + run.at, run)
    return
  }
  const table = metadata.subarray(headEnd(placement, inode), headEnd(placement, inode) + tableBytes(plan))
  writeChunks(table, plan, data, firstBlock, place)
}

/** Where a block of a directory or of a link's target lies. */
function contentAt(placement: Placement, inode: number, block: number): number {
  const isTail = placement.layouts[inode] === LAYOUTS.inline && (block + 1) * BLOCK_BYTES > placement.sizes[inode]!
  return isTail ? headEnd(placement, inode) : (placement.firstBlocks[inode]! + block) * BLOCK_BYTES
}

/** Where what stands behind an inode and its attributes begins. */
function headEnd(placement: Placement, inode: number): number {
  return placement.slots[inode]! * SLOT_BYTES + coreBytes(placement, inode) + placement.xattrBytes[inode]!
}

function coreBytes({ isCompact }: Placement, inode: number): number {
  return isCompact[inode] === 1 ? COMPACT_INODE_BYTES : EXTENDED_INODE_BYTES
}
