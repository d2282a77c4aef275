import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseImageConfig } from '../../../formats/oci/config.ts'
import { parseDigest } from '../../../formats/oci/digest.ts'
import { committedConfig } from './config.ts'

const DIFF_ID = parseDigest(`sha256:${'b'.repeat(64)}`)
const LOWER = `sha256:${'a'.repeat(64)}`

function commit(document: object, words: Partial<Parameters<typeof committedConfig>[2]> = {}) {
  const configBytes = Buffer.from(
    JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [LOWER] }, ...document }),
  )
  const made = committedConfig(
    { configBytes, config: parseImageConfig(configBytes) },
    DIFF_ID,
    { createdBy: 'sh -c x', ran: {}, changes: [], ...words },
    Date.UTC(2026, 0, 2),
  )
  return JSON.parse(Buffer.from(made.bytes).toString()) as Record<string, unknown>
}

test('a commit adds a layer and a step, and keeps what it does not know', () => {
  const made = commit(
    { 'x.own': [1], container: 'c0ffee', config: { Env: ['A=1'] }, history: [{ created_by: 'FROM' }] },
    { author: 'me', message: 'why' },
  )
  const created = '2026-01-02T00:00:00.000Z'
  assert.deepEqual(made, {
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: [LOWER, DIFF_ID] },
    'x.own': [1],
    config: { Env: ['A=1'] },
    history: [{ created_by: 'FROM' }, { created, author: 'me', created_by: 'sh -c x', comment: 'why' }],
    created,
    author: 'me',
  })
})

test('how the container ran becomes the image’s, and changes come last', () => {
  const ran = { command: ['run', 'me'], env: ['A=2', 'B=x=y'], user: '5', workdir: '/w', labels: { l: '1' } }
  const made = commit(
    { config: { Env: ['A=1', 'Z=z'], Labels: { k: '0' }, Cmd: ['old'] } },
    { ran, changes: ['WORKDIR sub', 'USER 6'] },
  )
  assert.deepEqual(made['config'], {
    Env: ['A=2', 'Z=z', 'B=x=y'],
    Labels: { k: '0', l: '1' },
    Cmd: ['run', 'me'],
    User: '6',
    WorkingDir: '/w/sub',
  })
})

test('a history that speaks of too few layers is filled up', () => {
  assert.equal((commit({})['history'] as unknown[]).length, 2)
  assert.equal((commit({ history: [{ empty_layer: true }] })['history'] as unknown[]).length, 3)
})
