import assert from 'node:assert/strict'
import { test } from 'node:test'
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
