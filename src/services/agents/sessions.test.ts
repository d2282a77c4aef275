import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BootFile } from '../boot/boot.ts'
import { createSessions } from './sessions.ts'

const file: BootFile = { sizeBytes: 0, pieces: () => [] }
const KIT = { kernel: file, initrd: file, tools: file }
const MINUTE_MS = 60_000

function open() {
  let at = 0
  return { sessions: createSessions(() => at), pass: (ms: number) => void (at += ms) }
}

test('sessions: a token is over when nobody has spoken with it for ten minutes, and no sooner', () => {
  const { sessions, pass } = open()
  const { token } = sessions.open('m', KIT)
  pass(9 * MINUTE_MS)
  assert.ok(sessions.heard(token, 'a'))
  pass(9 * MINUTE_MS)
  assert.ok(sessions.heard(token, 'a'))
  pass(11 * MINUTE_MS)
  assert.equal(sessions.heard(token, 'a'), undefined)
  assert.equal(sessions.peek(token), undefined)
})

test('sessions: a token is for the first address that speaks with it', () => {
  const { sessions } = open()
  const { token } = sessions.open('m', KIT)
  assert.equal(sessions.heard(token, 'a')?.mac, 'm')
  assert.equal(sessions.heard(token, 'b'), undefined)
  assert.ok(sessions.heard(token, 'a'))
})

test('sessions: who asks for scripts without end pushes out no machine that is in the agent', () => {
  const { sessions, pass } = open()
  const here = sessions.open('here', KIT)
  sessions.heard(here.token, 'a')
  pass(1)
  const first = sessions.open('first', KIT)
  for (let count = 0; count < 5000; count++) sessions.open('m', KIT)
  assert.equal(sessions.peek(first.token), undefined)
  assert.ok(sessions.heard(here.token, 'a'))
})

test('sessions: a machine is in the agent while it is heard of, by its last boot', () => {
  const { sessions, pass } = open()
  const [older, newer] = [sessions.open('m', KIT), sessions.open('m', KIT)]
  older.machineId = newer.machineId = 'id'
  pass(1)
  sessions.heard(newer.token, 'a')
  assert.equal(sessions.of('id')?.token, newer.token)
  pass(MINUTE_MS)
  assert.equal(sessions.of('id'), undefined)
})
