import assert from 'node:assert/strict'
import { test } from 'node:test'
import { poll } from '../../base/clock.ts'
import { LayerThreads } from './layer-threads.ts'

test('threads that were started for layers which do not come end after a while, and come again when they are expected', async () => {
  await using threads = new LayerThreads(2, 50)
  assert.equal(threads.count, 0)
  threads.warm()
  assert.equal(threads.count, 2)
  assert.ok(await poll(() => threads.count === 0 || undefined, { everyMs: 10, deadlineMs: 20_000 }))
  threads.warm()
  assert.equal(threads.count, 2)
})

test('a store that is closed starts none', async () => {
  const threads = new LayerThreads(2)
  await threads[Symbol.asyncDispose]()
  threads.warm()
  assert.equal(threads.count, 0)
})
