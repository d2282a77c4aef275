import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createStagger } from './stagger.ts'

test('machines of a cabinet are switched on one after the other, those of others and of no known place at once', async () => {
  const waits: number[] = []
  let at = 1000
  const stagger = createStagger({ nowMs: () => at, pause: async (ms) => void waits.push(ms) })
  const waited = async (...xnames: (string | undefined)[]): Promise<number[]> => {
    for (const xname of xnames) await stagger.wait(xname)
    return waits.splice(0)
  }
  assert.deepEqual(await waited('x1000c0s0b0n0', 'x1000c1s0b0n0', 'x1000c0s0b0n1'), [250, 500])
  assert.deepEqual(await waited('x1001c0s0b0n0', 'x100c0s0b0n0', undefined, undefined), [])
  at += 600
  assert.deepEqual(await waited('x1000c0s1b0n0'), [150])
  at += 400
  assert.deepEqual(await waited('x1000c0s1b0n0'), [])
})

test('who goes away does not wait for his turn', async () => {
  const stagger = createStagger({ spacingMs: 60_000 })
  await stagger.wait('x1c0s0b0n0')
  await assert.rejects(stagger.wait('x1c0s0b0n1', AbortSignal.timeout(1)), { name: 'AbortError' })
})
