import assert from 'node:assert/strict'
import { crc32 } from 'node:zlib'
import { test } from 'node:test'
import { WireError } from '../../src/base/errors.ts'
import { parseLeafTable, runAt } from '../../src/formats/verity/leaves.ts'
import { leafFileOf } from '../../src/formats/verity/sample.ts'
import { parseVeritySuperblock, serializeVeritySuperblock } from '../../src/formats/verity/superblock.ts'
import { mutate, randomFrom } from './mutate.ts'

const SEED = Number(process.env['SEED'] ?? 20_261_126)
const INPUTS = 100_000
const HEAD_BYTES = 64
const CHECKSUM_AT = 32

const tables = [0, 1, 5].map((runs) =>
  leafFileOf(
    Buffer.alloc(8192 * (runs + 1), 'x'),
    Array.from({ length: runs }, (_, run) => [run * 8192 + 512, 1 + run * 1500] as const),
  ),
)
const superblocks = [serializeVeritySuperblock({ uuid: new Uint8Array(16).fill(7), dataBlocks: 1000 })]

test(`leaf table: ${INPUTS} inputs, seed ${SEED}: runs in order or a WireError`, () => {
  const random = randomFrom(SEED)
  let read = 0
  for (let i = 0; i < INPUTS; i += 1) {
    const bytes = Buffer.from(mutate(tables, random))
    // Most get a good checksum: what lies behind it is what is tested.
    if (random() < 0.9 && bytes.length >= HEAD_BYTES)
      bytes.writeUInt32LE(crc32(bytes.subarray(0, CHECKSUM_AT), crc32(bytes.subarray(HEAD_BYTES))), CHECKSUM_AT)
    try {
      const table = parseLeafTable(bytes)
      let end = 0
      let digests = 0
      for (const [run, offset] of table.offsets.entries()) {
        assert.ok(offset >= end && table.lengths[run]! > 0 && table.firsts[run] === digests)
        end = offset + table.lengths[run]!
        digests += Math.ceil(table.lengths[run]! / 4096)
        assert.equal(runAt(table, offset), run)
      }
      assert.ok(end <= table.blobBytes && digests * 32 === table.digests.length)
      read += 1
    } catch (error) {
      assert.ok(error instanceof WireError, `input ${bytes.toString('hex')}: ${String(error)}`)
    }
  }
  assert.ok(read > 1000 && read < INPUTS - 1000, `${read} read`)
})

test(`verity superblock: ${INPUTS} inputs, seed ${SEED}: a value or a WireError`, () => {
  const random = randomFrom(SEED)
  for (let i = 0; i < INPUTS; i += 1) {
    const bytes = mutate(superblocks, random)
    try {
      const { uuid, dataBlocks } = parseVeritySuperblock(bytes)
      assert.ok(uuid.length === 16 && dataBlocks > 0 && Number.isSafeInteger(dataBlocks))
    } catch (error) {
      assert.ok(error instanceof WireError, `input ${Buffer.from(bytes).toString('hex')}: ${String(error)}`)
    }
  }
})
