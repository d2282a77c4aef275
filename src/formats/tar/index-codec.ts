/**
 * A layer index as bytes, stored beside the layer blob. Layout, all numbers LEB128 (7 bits a byte, low first):
 *
 *     "BBLI" 1 · blobBytes · entry count · record… · CRC-32 of all before it (4 bytes, big-endian)
 *
 * Records are those of index-record.ts. Paths share their beginnings, so 100,000 files take about 3 MB.
 */
import { crc32 } from 'node:zlib'
import { WireError } from '../../base/errors.ts'
import { readRecord } from './index-record.ts'
import { IndexSource, WHAT } from './index-source.ts'
import type { LayerIndex } from './layer-index.ts'
import { TAR_LIMITS } from './limits.ts'
import { CRC_BYTES, isWhiteoutLike, MAGIC, PackedIndex, packIndex } from './packed-index.ts'

/** The bytes of an index, which the index may share; parseLayerIndex gives an equal index back. */
export function serializeLayerIndex(index: LayerIndex): Uint8Array {
  return packIndex(index).bytes
}

/**
 * Reads what serializeLayerIndex wrote. The index keeps `bytes`: they must not be changed afterwards.
 * @throws {WireError} when the checksum is wrong, a value is out of its bounds, or data lies outside of the blob
 */
export function parseLayerIndex(bytes: Uint8Array): LayerIndex {
  const source = opened(bytes)
  const blobBytes = source.number('blob size')
  const entryCount = source.number('entry count', TAR_LIMITS.entries)
  const recordsAt = source.at
  let hasWhiteouts = false
  for (let left = entryCount; left > 0; left -= 1)
    if (isWhiteoutLike(readRecord(source, blobBytes).path)) hasWhiteouts = true
  source.end()
  return new PackedIndex({ bytes, blobBytes, entryCount, recordsAt, hasWhiteouts })
}

function opened(bytes: Uint8Array): IndexSource {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = buffer.length - CRC_BYTES
  if (end < MAGIC.length || buffer.toString('latin1', 0, MAGIC.length) !== MAGIC)
    throw new WireError(WHAT, 'it does not begin with its mark')
  if (crc32(buffer.subarray(0, end)) !== buffer.readUInt32BE(end)) throw new WireError(WHAT, 'its checksum is wrong')
  return new IndexSource(buffer, MAGIC.length, end)
}
