import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { WireError } from '../../base/errors.ts'
import { LeafHasher, parseLeafTable, runAt } from './leaves.ts'
import { leafFileOf } from './sample.ts'

const blob = Buffer.from(Uint8Array.from({ length: 40_000 }, (_, at) => (at * 7919) >> 5))
const runs = [
  [512, 1],
  [1024, 4096],
  [5120, 0],
  [5632, 10_000],
  [16_384, 4095],
  [20_479, 2],
  [30_000, 10_000],
] as const

/** What the table must hold, made the slow way. */
function digestsOf(offset: number, length: number): string[] {
  const run = Buffer.alloc(Math.ceil(length / 4096) * 4096)
  blob.copy(run, 0, offset, offset + length)
  return Array.from({ length: run.length / 4096 }, (_, at) =>
    createHash('sha256')
      .update(run.subarray(at * 4096, (at + 1) * 4096))
      .digest('hex'),
  )
}

test('a layer that streams by in pieces of any size gets the digests of each run, zero-filled at its end', () => {
  const table = parseLeafTable(leafFileOf(blob, runs))
  const full = runs.filter(([, length]) => length > 0)
  assert.equal(table.blobBytes, blob.length)
  assert.deepEqual(
    [...table.offsets],
    full.map(([offset]) => offset),
  )
  assert.deepEqual(
    [...table.lengths],
    full.map(([, length]) => length),
  )
  assert.deepEqual([...table.firsts], [0, 1, 2, 5, 6, 7])
  assert.equal(
    Buffer.from(table.digests).toString('hex'),
    full.flatMap(([offset, length]) => digestsOf(offset, length)).join(''),
  )
  const whole = leafFileOf(blob, runs)
  for (const size of [1, 7, 511, 512, 4095, 4096, 4097, 39_999]) {
    const file = Buffer.alloc(whole.length)
    const hasher = new LeafHasher((bytes, at) => file.set(bytes, at))
    let announced = 0
    for (let at = 0; at < blob.length; at += size) {
      // Told no sooner than needed: in the piece that they begin in.
      for (; announced < runs.length && runs[announced]![0] < at + size; announced += 1) {
        const [offset, length] = runs[announced]!
        hasher.run(offset, length)
      }
      hasher.push(blob.subarray(at, at + size))
    }
    hasher.end()
    assert.deepEqual(file, whole, `pieces of ${size} bytes`)
  }
})

test('more digests than are written at once come out in order', () => {
  const big = Buffer.alloc(20_000_000, 'a layer of one file; ')
  const table = parseLeafTable(leafFileOf(big, [[512, 19_999_000]]))
  assert.equal(table.digests.length / 32, Math.ceil(19_999_000 / 4096))
  const last = Buffer.alloc(4096)
  big.copy(last, 0, 512 + 4882 * 4096, 512 + 19_999_000)
  assert.deepEqual(Buffer.from(table.digests.subarray(-32)), createHash('sha256').update(last).digest())
})

test('a layer without file data has an empty table', () => {
  const table = parseLeafTable(leafFileOf(Buffer.alloc(1024), []))
  assert.deepEqual([table.blobBytes, table.offsets.length, table.digests.length], [1024, 0, 0])
  assert.equal(runAt(table, 0), -1)
})

test('runAt finds the run of a byte', () => {
  const table = parseLeafTable(leafFileOf(blob, runs))
  for (const [offset, run] of [
    [0, -1],
    [511, -1],
    [512, 0],
    [513, -1],
    [1024, 1],
    [5119, 1],
    [5120, -1],
    [15_631, 2],
    [20_478, 3],
    [20_479, 4],
    [29_999, -1],
    [39_999, 5],
    [40_000, -1],
  ] as const)
    assert.equal(runAt(table, offset), run, `byte ${offset}`)
})

test('runs that run back, come too late or are not fed whole are refused', () => {
  const hasher = new LeafHasher(() => {})
  hasher.run(512, 100)
  assert.throws(() => hasher.run(611, 1), RangeError)
  hasher.push(Buffer.alloc(600))
  assert.throws(() => hasher.end(), RangeError)
  hasher.push(Buffer.alloc(600))
  assert.throws(() => hasher.run(1199, 1), RangeError)
})

test('a leaf table that is damaged anywhere, or cut short, is refused', () => {
  const bytes = leafFileOf(blob, runs)
  for (let at = 0; at < bytes.length; at += 1) {
    const damaged = Buffer.from(bytes)
    damaged[at]! ^= 0x10
    assert.throws(() => parseLeafTable(damaged), WireError, `byte ${at}`)
  }
  for (const length of [0, 63, 64, bytes.length - 1])
    assert.throws(() => parseLeafTable(bytes.subarray(0, length)), WireError)
  assert.throws(() => parseLeafTable(Buffer.concat([bytes, Buffer.alloc(1)])), WireError)
})
