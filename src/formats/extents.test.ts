import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cutExtents, sizeOf, type Extent } from './extents.ts'

const whole: Extent[] = [
  { kind: 'bytes', bytes: new Uint8Array([1, 2, 3]) },
  { kind: 'blob', blob: 'sha256:a', offset: 512, length: 10 },
  { kind: 'zeros', length: 5 },
]

test('cutExtents cuts the pieces that a range touches', () => {
  assert.equal(sizeOf(whole), 18)
  assert.deepEqual(cutExtents(whole, 2, 5), [
    { kind: 'bytes', bytes: new Uint8Array([3]) },
    { kind: 'blob', blob: 'sha256:a', offset: 512, length: 2 },
  ])
  assert.deepEqual(cutExtents(whole, 12, 100), [
    { kind: 'blob', blob: 'sha256:a', offset: 521, length: 1 },
    { kind: 'zeros', length: 5 },
  ])
  assert.deepEqual(cutExtents(whole, 4, 4), [])
})
