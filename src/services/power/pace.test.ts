import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPacer } from './pace.ts'

const machine = { id: '1', name: 'rack1-07' }
/** Whether it may be sent at once; what has to wait gives up. */
async function isNow(pacer: ReturnType<typeof createPacer>, of = machine): Promise<boolean> {
  const giveUp = new AbortController()
  const taken = pacer.take(of, giveUp.signal).then(() => true)
  const early = await Promise.race([taken, new Promise<false>((resolve) => setImmediate(() => resolve(false)))])
  giveUp.abort()
  await taken.catch(() => {})
  return early
}

test('a few commands at once, then one in a while, for each machine by itself', async () => {
  let at = 100_000
  const pacer = createPacer({ everyMs: 5000, atOnce: 3, maxWaiting: 2 }, () => at)
  const asked = async (count: number) => {
    const answers: boolean[] = []
    for (let n = 0; n < count; n++) answers.push(await isNow(pacer))
    return answers
  }
  assert.deepEqual(await asked(4), [true, true, true, false])
  assert.ok(await isNow(pacer, { id: '2', name: 'rack1-08' }))
  // What gave up counts.
  at += 5000
  assert.deepEqual(await asked(1), [false])
  at += 15_000
  assert.deepEqual(await asked(3), [true, true, false])
  at += 3_600_000
  assert.deepEqual(await asked(4), [true, true, true, false])
  pacer.forget('1')
  assert.ok(await isNow(pacer))
})

test('what waits is sent in its turn, and too many are refused at once', async () => {
  const pacer = createPacer({ everyMs: 40, atOnce: 1, maxWaiting: 2 })
  const order: number[] = []
  const taken = [1, 2, 3].map((n) => pacer.take(machine).then(() => order.push(n)))
  await assert.rejects(pacer.take(machine), {
    code: 'busy',
    message:
      'Cannot switch "rack1-07": 2 power commands wait for it already; it takes one in 0.04 s, more is not good for a machine',
  })
  await Promise.all(taken)
  assert.deepEqual(order, [1, 2, 3])
  await pacer.take(machine)
})
