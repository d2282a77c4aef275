/** An export as machines get it: metadata, files of a layer with zero-filled tails, holes; and its bytes. */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ExtentMapBuilder, serializeExtentRows } from '../../src/formats/extent-map.ts'
import type { DeviceFiles } from '../../src/servers/nbd/server.ts'

export interface MadeDevice {
  readonly files: DeviceFiles
  readonly bytes: Buffer
}

const BLOCK_BYTES = 4096

/**
 * Writes `map`, `blob-0` and `blob-1` into a directory.
 * @param fileCount files of the layers, of 1 to 60,000 bytes; after each seventh lies a hole
 */
export function makeDevice(directory: string, fileCount = 200): MadeDevice {
  const sizeOf = (file: number): number => 1 + ((file * 7919) % 60_000)
  const builder = new ExtentMapBuilder()
  const pieces: Buffer[] = []
  let at = 0
  const put = (bytes: Buffer, lengthBytes = bytes.length): void => {
    pieces.push(bytes, Buffer.alloc(lengthBytes - bytes.length))
    at += lengthBytes
  }
  const metadata = noise(3 * BLOCK_BYTES + 100, 'metadata')
  builder.literal(0, metadata)
  put(metadata, 4 * BLOCK_BYTES)
  const blobs = [0, 1].map((blob) => noise(fileCount * 60_500, `blob ${blob}`))
  const used = [512, 512]
  for (let file = 0; file < fileCount; file += 1) {
    const blob = file % 3 === 0 ? 1 : 0
    const length = sizeOf(file)
    builder.blob(at, `sha256:${String(blob).repeat(64)}`, used[blob]!, length)
    put(blobs[blob]!.subarray(used[blob], used[blob]! + length), Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES)
    used[blob]! += Math.ceil(length / 512) * 512 + 512
    if (file % 7 === 6) put(Buffer.alloc(0), 10 * BLOCK_BYTES)
  }
  const tail = noise(BLOCK_BYTES, 'tail')
  builder.literal(at, tail)
  put(tail)
  const map = builder.done(at)
  const mapPath = join(directory, 'map')
  writeFileSync(mapPath, Buffer.concat([serializeExtentRows(map), map.literals]))
  // The map names its blobs in the order in which it met them.
  const blobPaths = map.blobs.map((digest) => join(directory, `blob-${digest.at(-1)}`))
  blobs.forEach((bytes, blob) => writeFileSync(join(directory, `blob-${blob}`), bytes))
  return { files: { mapPath, blobPaths, record: true }, bytes: Buffer.concat(pieces) }
}

/** Bytes that do not repeat and are the same in every run. */
export function noise(length: number, seed: string): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at += 65_536)
    createHash('shake256', { outputLength: 65_536 }).update(`${seed} ${at}`).digest().copy(bytes, at)
  return bytes
}
