/** Layers, devices and a verifier for tests of hash trees. The verifier walks the tree from the root, as the kernel does. */
import { createHash } from 'node:crypto'
import { extentsOf, type ExtentMap } from '../extent-map.ts'
import { LeafHasher, parseLeafTable, type LeafTable } from './leaves.ts'

/** The stored table of a layer. @param runs where its file data lies: offset and length */
export function leafFileOf(blob: Uint8Array, runs: readonly (readonly [offset: number, length: number])[]): Buffer {
  const parts: { bytes: Uint8Array; at: number }[] = []
  const hasher = new LeafHasher((bytes, at) => parts.push({ bytes, at }))
  for (const [offset, length] of runs) hasher.run(offset, length)
  hasher.push(blob)
  hasher.end()
  const file = Buffer.alloc(Math.max(...parts.map(({ bytes, at }) => at + bytes.length)))
  for (const { bytes, at } of parts) file.set(bytes, at)
  return file
}

export function leavesOf(blob: Uint8Array, runs: readonly (readonly [offset: number, length: number])[]): LeafTable {
  return parseLeafTable(leafFileOf(blob, runs))
}

/** Bytes `from` to `to` of a device. */
export function bytesOf(map: ExtentMap, blobs: ReadonlyMap<string, Uint8Array>, from = 0, to = map.sizeBytes): Buffer {
  const parts = [...extentsOf(map, from, to)].map((extent) => {
    if (extent.kind === 'bytes') return extent.bytes
    if (extent.kind === 'zeros') return Buffer.alloc(extent.length)
    return blobs.get(extent.blob)!.subarray(extent.offset, extent.offset + extent.length)
  })
  return Buffer.concat(parts)
}

/** Numbers of the data blocks that a machine could not read: their digest, or one on the way to the root, is not right. */
export class TreeWalk {
  readonly #device: Buffer
  readonly #root: string
  readonly #dataBlocks: number
  /** Where each level begins, in blocks, leaves first. */
  readonly #levels: number[] = []

  constructor(device: Buffer, { rootHash, dataBlocks }: { rootHash: string; dataBlocks: number }) {
    this.#device = device
    this.#root = rootHash
    this.#dataBlocks = dataBlocks
    const counts: number[] = []
    for (let blocks = dataBlocks; blocks > 1; counts.push(blocks)) blocks = Math.ceil(blocks / 128)
    let at = dataBlocks + 1
    for (const count of counts.reverse()) {
      this.#levels.unshift(at)
      at += count
    }
  }

  isGood(block: number): boolean {
    let digest = this.#digest(block)
    let index = block
    for (const start of this.#levels) {
      const at = (start + Math.floor(index / 128)) * 4096 + (index % 128) * 32
      if (!this.#device.subarray(at, at + 32).equals(digest)) return false
      digest = this.#digest(start + Math.floor(index / 128))
      index = Math.floor(index / 128)
    }
    return digest.toString('hex') === this.#root
  }

  /** The first data block under a block of the device; undefined for the superblock, which no machine reads. */
  dataUnder(block: number): number | undefined {
    if (block < this.#dataBlocks) return block
    for (const [level, start] of this.#levels.entries())
      if (block >= start) return Math.min((block - start) * 128 ** (level + 1), this.#dataBlocks - 1)
    return undefined
  }

  #digest(block: number): Buffer {
    return createHash('sha256')
      .update(this.#device.subarray(block * 4096, (block + 1) * 4096))
      .digest()
  }
}
