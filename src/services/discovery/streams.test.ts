import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eachOf, merged } from './streams.ts'

test('eachOf does all, never more than its limit at once, and yields what is done first', async () => {
  let running = 0
  let most = 0
  const gates = Array.from({ length: 5 }, () => Promise.withResolvers<void>())
  const results: number[] = []
  const all = eachOf([0, 1, 2, 3, 4], 2, async (item) => {
    most = Math.max(most, ++running)
    await gates[item]!.promise
    running -= 1
    return item
  })
  gates[1]!.resolve()
  for await (const item of all) {
    results.push(item)
    for (const gate of gates) gate.resolve()
  }
  assert.equal(results[0], 1)
  assert.deepEqual(
    results.toSorted((a, b) => a - b),
    [0, 1, 2, 3, 4],
  )
  assert.equal(most, 2)
})

test('eachOf begins no more once its reader has left or one has failed, and waits for those that run', async () => {
  let begun = 0
  const finished: number[] = []
  const work = async (item: number) => {
    begun += 1
    await Promise.resolve()
    finished.push(item)
    return item
  }
  for await (const _ of eachOf(Array(100).keys(), 3, work)) break
  assert.equal(finished.length, begun)
  assert.ok(begun < 100)
  const failing = async (item: number) => {
    if (item === 1) throw new Error('no')
    return item
  }
  await assert.rejects(Array.fromAsync(eachOf([0, 1, 2], 1, failing)), /no/)
  assert.deepEqual(await Array.fromAsync(eachOf([], 4, work)), [])
})

test('merged yields the values of all, and lets go of the others when one fails', async () => {
  async function* counting(from: number, to: number) {
    for (let at = from; at < to; at++) yield at
  }
  assert.deepEqual(
    (await Array.fromAsync(merged(counting(0, 3), counting(10, 12)))).toSorted((a, b) => a - b),
    [0, 1, 2, 10, 11],
  )
  let isLeft = false
  async function* endless() {
    try {
      for (;;) yield 1
    } finally {
      isLeft = true
    }
  }
  async function* broken() {
    yield 1
    throw new Error('broken')
  }
  await assert.rejects(Array.fromAsync(merged(endless(), broken())), /broken/)
  assert.equal(isLeft, true)
})
