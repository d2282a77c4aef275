/**
 * Files with large holes, kept in chunks of equal size of which those that hold no data take no blocks (layout chunk-based,
 * Linux 5.15). Behind the inode lies a table with the first block of each chunk.
 */
import type { DataRun } from '../tar/layer-index.ts'
import { BLOCK_BYTES, NULL_ADDRESS } from './on-disk.ts'

export interface ChunkPlan {
  /** A chunk has 2^blockBits blocks: the format field of the inode. */
  readonly blockBits: number
  readonly chunkCount: number
  /** Blocks on the device that all chunks with data take. */
  readonly deviceBlocks: number
}

/** Holes that save less than this are laid out as blocks of zeros. */
const WORTHWHILE_BLOCKS = 2 ** 20 / BLOCK_BYTES
const MAX_BLOCK_BITS = 31
/**
 * A byte of the table is held in memory as long as machines are served, one of dm-verity's hash tree (1/128 of the device) lies
 * on the disk: the first counts this many times as much.
 */
const TABLE_WEIGHT = 16

/** How a file is best kept in chunks, or undefined where its holes are not worth it. */
export function planChunks(size: number, data: readonly DataRun[]): ChunkPlan | undefined {
  const wholeBlocks = Math.ceil(size / BLOCK_BYTES)
  let held = 0
  for (const { length } of data) held += length
  if (wholeBlocks - Math.floor(held / BLOCK_BYTES) < WORTHWHILE_BLOCKS) return undefined
  let best: ChunkPlan | undefined
  let bestCost = Infinity
  for (let blockBits = 0; blockBits <= MAX_BLOCK_BITS; blockBits += 1) {
    const chunkBlocks = 2 ** blockBits
    const plan = { blockBits, chunkCount: Math.ceil(wholeBlocks / chunkBlocks), deviceBlocks: 0 }
    plan.deviceBlocks = chunkedBlocks(wholeBlocks, data, chunkBlocks)
    const cost = plan.chunkCount * 4 * TABLE_WEIGHT + (plan.deviceBlocks * BLOCK_BYTES) / 128
    if (cost < bestCost) [best, bestCost] = [plan, cost]
    if (plan.chunkCount === 1) break
  }
  return best !== undefined && wholeBlocks - best.deviceBlocks >= WORTHWHILE_BLOCKS ? best : undefined
}

/** Bytes of the table of a file. */
export function tableBytes({ chunkCount }: ChunkPlan): number {
  return 4 * chunkCount
}

/**
 * Writes the table of a file whose chunks with data follow each other from block `firstBlock` of the device on.
 * @param place told where each run of data begins on the device, in bytes, ascending
 */
export function writeChunks(
  table: Buffer,
  plan: ChunkPlan,
  data: readonly DataRun[],
  firstBlock: number,
  place: (start: number, run: DataRun) => void,
): void {
  const chunkBytes = 2 ** plan.blockBits * BLOCK_BYTES
  for (let chunk = 0; chunk < plan.chunkCount; chunk += 1) table.writeUInt32LE(NULL_ADDRESS, 4 * chunk)
  let used = 0
  let last = -1
  for (const run of data) {
    const first = Math.floor(run.at / chunkBytes)
    const end = Math.floor((run.at + run.length - 1) / chunkBytes)
    // Chunks that a run goes through follow each other, on the device as well.
    for (let chunk = Math.max(first, last + 1); chunk <= end; chunk += 1) {
      table.writeUInt32LE(firstBlock + used * 2 ** plan.blockBits, 4 * chunk)
      used += 1
    }
    last = end
    place(firstBlock * BLOCK_BYTES + (used - 1 - (end - first)) * chunkBytes + (run.at - first * chunkBytes), run)
  }
}

function chunkedBlocks(wholeBlocks: number, data: readonly DataRun[], chunkBlocks: number): number {
  const chunkBytes = chunkBlocks * BLOCK_BYTES
  let used = 0
  let last = -1
  for (const { at, length } of data) {
    const end = Math.floor((at + length - 1) / chunkBytes)
    used += end - Math.max(Math.floor(at / chunkBytes), last + 1) + 1
    last = end
  }
  // The last chunk of the file has blocks up to the file's end only.
  const isLastUsed = last === Math.ceil(wholeBlocks / chunkBlocks) - 1
  const missing = isLastUsed ? (last + 1) * chunkBlocks - wholeBlocks : 0
  return used * chunkBlocks - missing
}
