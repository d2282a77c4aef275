import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SessionBudget } from './session-budget.ts'
import { SequenceWindow } from './sequence-window.ts'
import { nextSessionState, TRANSITIONS, type SessionState } from './session-state.ts'

test('the sequence window takes each number once, late ones within 31, and never 0', () => {
  const window = new SequenceWindow()
  const taken = [1, 1, 3, 2, 2, 0, 40, 9, 8, 39, 40, 41, 1000, 969, 968, 4294967295].map((n) => window.take(n))
  assert.deepEqual(taken, [
    true,
    false,
    true,
    true,
    false,
    false,
    true,
    true,
    false,
    true,
    false,
    true,
    true,
    true,
    false,
    true,
  ])
})

test('the session states: every arrow leads to a state, silence starts over, closed is the end', () => {
  for (const row of Object.values(TRANSITIONS)) for (const to of Object.values(row)) assert.ok(to in TRANSITIONS)
  for (const state of ['opening', 'keying', 'proving'] as SessionState[])
    assert.equal(nextSessionState(state, 'silence'), 'opening')
  assert.equal(nextSessionState('active', 'keys-proved'), undefined)
  assert.deepEqual(TRANSITIONS.closed, {})
})

test('the session budget holds no more than it may, evicts the longest idle and serves in order', async () => {
  const budget = new SessionBudget(2)
  const log: string[] = []
  await budget.acquire()
  await budget.acquire()
  const close = (name: string) => {
    log.push(`close ${name}`)
    budget.release()
  }
  const closeA = () => close('a')
  const closeB = () => close('b')
  budget.offer(closeA)
  budget.offer(closeB)
  budget.withdraw(closeA)
  await budget.acquire()
  assert.deepEqual(log, ['close b'])
  const gone = new AbortController()
  const waits = budget.acquire(gone.signal)
  const third = budget.acquire().then(() => log.push('third'))
  gone.abort(new Error('gone'))
  await assert.rejects(waits, /gone/)
  budget.offer(closeA)
  await third
  assert.deepEqual(log, ['close b', 'close a', 'third'])
  assert.equal(budget.held, 2)
  budget.release()
  budget.release()
  assert.equal(budget.held, 0)
})
