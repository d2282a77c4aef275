import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../../base/errors.ts'
import { parseVeritySuperblock, serializeVeritySuperblock, VERITY_SUPERBLOCK_BYTES } from './superblock.ts'

const sample = { uuid: Uint8Array.from({ length: 16 }, (_, at) => at + 1), dataBlocks: 300 }

test('a verity superblock reads back as it was, and has its fields where cryptsetup looks for them', () => {
  const bytes = serializeVeritySuperblock(sample)
  assert.equal(bytes.length, VERITY_SUPERBLOCK_BYTES)
  assert.deepEqual(parseVeritySuperblock(bytes), sample)
  const hex = Buffer.from(bytes).toString('hex')
  const head = '7665726974790000' + '01000000' + '01000000' + '0102030405060708090a0b0c0d0e0f10'
  const algorithm = Buffer.from('sha256').toString('hex').padEnd(64, '0')
  assert.equal(hex, (head + algorithm + '00100000' + '00100000' + '2c01000000000000').padEnd(1024, '0'))
})

const broken: [name: string, at: number, bytes: readonly number[], message: RegExp][] = [
  ['another signature', 0, [0x56], /it has no signature/],
  ['another version', 8, [2], /version and hash type 2\.1, not 1\.1/],
  ['the hash type of Chromium OS', 12, [0], /version and hash type 1\.0, not 1\.1/],
  ['another algorithm', 35, [0x31], /hashes by "sha156", not sha256/],
  ['another block size', 64, [0, 4], /data block size 1024, not 4096/],
  ['no data', 72, [0, 0], /0 data blocks/],
  ['more data than there are numbers', 72, [0, 0, 0, 0, 0, 0, 2], /data blocks/],
  ['a salt', 80, [32], /a salt of 32 bytes, none is expected/],
]
for (const [name, at, replacement, message] of broken)
  test(`a verity superblock with ${name} is refused`, () => {
    const bytes = serializeVeritySuperblock(sample)
    bytes.set(replacement, at)
    assert.throws(() => parseVeritySuperblock(bytes), { name: 'WireError', message })
  })

test('a verity superblock that is cut short is refused', () => {
  const bytes = serializeVeritySuperblock(sample)
  for (let length = 0; length < bytes.length; length += 1)
    assert.throws(() => parseVeritySuperblock(bytes.subarray(0, length)), WireError)
})
