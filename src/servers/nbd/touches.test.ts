import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTouches, mergeTouched } from './touches.ts'

const BLOCK = 4096

/** A clock that goes on by one each time. */
const clock = (fromMs = 0) => {
  let ms = fromMs
  return () => ms++
}

test('touches: each block is noted once, in order; what goes on becomes one', () => {
  const touches = createTouches(1000 * BLOCK, clock())
  touches.note(10 * BLOCK, BLOCK)
  touches.note(11 * BLOCK, 3 * BLOCK)
  touches.note(5 * BLOCK + 1, 1)
  touches.note(10 * BLOCK, BLOCK)
  touches.note(4 * BLOCK, 12 * BLOCK)
  touches.note(0, 0)
  assert.deepEqual(touches.list(), {
    isComplete: true,
    touches: [
      { start: 10, count: 4, atMs: 0 },
      { start: 5, count: 1, atMs: 2 },
      { start: 4, count: 1, atMs: 3 },
      { start: 6, count: 4, atMs: 4 },
      { start: 14, count: 2, atMs: 5 },
    ],
  })
})

test('touches: what goes on much later is a piece of its own', () => {
  let ms = 0
  const touches = createTouches(1000 * BLOCK, () => ms)
  for (const [block, atMs] of [
    [1, 0],
    [2, 100],
    [3, 101],
  ] as const) {
    ms = atMs
    touches.note(block * BLOCK, BLOCK)
  }
  assert.deepEqual(touches.list().touches, [
    { start: 1, count: 2, atMs: 0 },
    { start: 3, count: 1, atMs: 101 },
  ])
})

test('touches: any order of reads notes the very blocks that were read', () => {
  const touches = createTouches(3000 * BLOCK, clock())
  const read = new Set<number>()
  for (let n = 0; n < 500; n++) {
    const start = (n * 7919) % 2900
    const count = 1 + ((n * 104_729) % 100)
    touches.note(start * BLOCK, count * BLOCK)
    for (let block = start; block < start + count; block++) read.add(block)
  }
  const noted = touches
    .list()
    .touches.flatMap(({ start, count }) => Array.from({ length: count }, (_, at) => start + at))
  assert.deepEqual(
    noted.toSorted((a, b) => a - b),
    [...read].toSorted((a, b) => a - b),
  )
})

test('touches: when there are too many, the first are kept and it is said', () => {
  const touches = createTouches(1000 * BLOCK, clock(), 3)
  for (let block = 0; block < 10; block += 2) touches.note(block * BLOCK, BLOCK)
  const { touches: kept, isComplete } = touches.list()
  assert.deepEqual(
    kept.map(({ start }) => start),
    [0, 2, 4],
  )
  assert.equal(isComplete, false)
})

test('mergeTouched: threads as one, by time, each block once', () => {
  const merged = mergeTouched([
    { isComplete: true, touches: [{ start: 0, count: 4, atMs: 5 }] },
    {
      isComplete: false,
      touches: [
        { start: 2, count: 6, atMs: 1 },
        { start: 100, count: 1, atMs: 9 },
      ],
    },
  ])
  assert.deepEqual(merged, {
    isComplete: false,
    touches: [
      { start: 2, count: 6, atMs: 1 },
      { start: 0, count: 2, atMs: 5 },
      { start: 100, count: 1, atMs: 9 },
    ],
  })
})
