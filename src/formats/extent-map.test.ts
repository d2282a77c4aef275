import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WireError } from '../base/errors.ts'
import {
  ExtentMapBuilder,
  LITERALS,
  extentsOf,
  parseExtentRows,
  rowAt,
  serializeExtentRows,
  storedRowsBytes,
} from './extent-map.ts'

const A = `sha256:${'a'.repeat(64)}`
const B = `sha256:${'b'.repeat(64)}`

function sample() {
  return new ExtentMapBuilder()
    .literal(0, Uint8Array.of(1, 2))
    .literal(2, Uint8Array.of(3))
    .blob(4096, A, 512, 5000)
    .blob(12_288, B, 0, 10)
    .literal(16_384, Uint8Array.of(9))
    .done(20_480)
}

test('ExtentMapBuilder joins literal bytes that go on, and keeps the rows of blobs as they are', () => {
  const map = sample()
  assert.deepEqual([...map.starts], [0, 4096, 12_288, 16_384])
  assert.deepEqual([...map.lengths], [3, 5000, 10, 1])
  assert.deepEqual([...map.sources], [LITERALS, 1, 2, LITERALS])
  assert.deepEqual([...map.offsets], [0, 512, 0, 3])
  assert.deepEqual(
    [map.blobs, [...map.literals]],
    [
      [A, B],
      [1, 2, 3, 9],
    ],
  )
})

test('ExtentMapBuilder gives room for literal bytes that are filled in afterwards', () => {
  const builder = new ExtentMapBuilder()
  const room = builder.literalRoom(0, 8)
  builder.blob(8, A, 0, 1)
  room[7] = 9
  assert.deepEqual([...builder.done(9).literals], [0, 0, 0, 0, 0, 0, 0, 9])
})

test('ExtentMapBuilder refuses rows that run back, and a size before the last one ends', () => {
  assert.throws(() => new ExtentMapBuilder().blob(0, A, 0, 10).blob(9, A, 0, 1), RangeError)
  assert.throws(() => new ExtentMapBuilder().blob(0, A, 0, 10).done(9), RangeError)
})

test('rowAt finds the row of a byte, or the next one', () => {
  const map = sample()
  for (const [at, row] of [
    [0, 0],
    [2, 0],
    [3, 1],
    [4096, 1],
    [9095, 1],
    [9096, 2],
    [16_384, 3],
    [16_385, 4],
  ] as const)
    assert.equal(rowAt(map, at), row, `byte ${at}`)
})

test('extentsOf gives every range, zeros where no row is', () => {
  const map = sample()
  assert.deepEqual(
    [...extentsOf(map, 2, 4100)],
    [
      { kind: 'bytes', bytes: Buffer.from([3]) },
      { kind: 'zeros', length: 4093 },
      { kind: 'blob', blob: A, offset: 512, length: 4 },
    ],
  )
  assert.deepEqual([...extentsOf(map, 16_385)], [{ kind: 'zeros', length: 4095 }])
  assert.deepEqual([...extentsOf(map, 100, 100)], [])
  for (let from = 0; from < 20_480; from += 997)
    for (let to = from; to <= 20_480; to += 1999) {
      let length = 0
      for (const extent of extentsOf(map, from, to))
        length += extent.kind === 'bytes' ? extent.bytes.length : extent.length
      assert.equal(length, to - from)
    }
})

test('a stored map reads back as it was', () => {
  const map = sample()
  const bytes = serializeExtentRows(map)
  assert.equal(storedRowsBytes(bytes.subarray(0, 64)), bytes.length)
  const { literals, ...rows } = map
  assert.deepEqual(parseExtentRows(bytes), { ...rows, literalsAt: bytes.length })
  assert.equal(literals.length, map.literalBytes)
})

test('a stored map that is damaged anywhere is refused', () => {
  const bytes = serializeExtentRows(sample())
  for (let at = 0; at < bytes.length; at += 1) {
    const damaged = Uint8Array.from(bytes)
    damaged[at]! ^= 0x10
    // What lies between the head's last field and its end is padding.
    if (at >= 52 && at < 64) continue
    assert.throws(() => parseExtentRows(damaged), WireError, `byte ${at}`)
  }
  for (const length of [0, 63, 64, 4095]) assert.throws(() => parseExtentRows(bytes.subarray(0, length)), WireError)
})
