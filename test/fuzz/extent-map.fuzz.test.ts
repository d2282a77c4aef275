import assert from 'node:assert/strict'
import { crc32 } from 'node:zlib'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { ExtentMapBuilder, parseExtentRows, rowAt, serializeExtentRows } from '../../src/formats/extent-map.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = Number(process.env['SEED'] ?? 20_261_125)
const INPUTS = 100_000
const HEAD_BYTES = 64
const CHECKSUM_AT = 48

const samples = [0, 1, 5].map((rows) => {
  const builder = new ExtentMapBuilder().literal(0, new Uint8Array(100))
  for (let row = 1; row <= rows; row += 1) builder.blob(row * 4096, `sha256:${'0'.repeat(63)}${row}`, row * 512, 4000)
  // Without the zeros that pad it to a block, which mutations would mostly hit.
  return serializeExtentRows(builder.done(65_536)).subarray(0, 600)
})

test(`extent map: ${INPUTS} inputs, seed ${SEED}: rows in order or a WireError`, () => {
  const random = randomFrom(SEED)
  let read = 0
  for (let i = 0; i < INPUTS; i += 1) {
    const part = mutate(samples, random)
    const bytes = new Uint8Array(4096)
    bytes.set(part.subarray(0, 4096))
    // Most get a good checksum: what lies behind it is what is tested.
    if (random() < 0.9) new DataView(bytes.buffer).setUint32(CHECKSUM_AT, checksum(bytes), true)
    try {
      const rows = parseExtentRows(bytes)
      for (let at = 0, end = 0; at < rows.starts.length; at += 1) {
        assert.ok(rows.starts[at]! >= end && rows.lengths[at]! > 0)
        end = rows.starts[at]! + rows.lengths[at]!
        assert.ok(end <= rows.sizeBytes)
      }
      rowAt(rows, rows.sizeBytes)
      read += 1
    } catch (error) {
      assert.ok(error instanceof WireError, `input ${Buffer.from(part).toString('hex')}: ${String(error)}`)
    }
  }
  assert.ok(read > 1000 && read < INPUTS - 1000, `${read} read`)
})

function checksum(bytes: Uint8Array): number {
  return crc32(bytes.subarray(HEAD_BYTES), crc32(bytes.subarray(0, CHECKSUM_AT)))
}
