import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { LogQuery, LogStore } from '../../services/containers/ports.ts'
import { createLogDirectory } from './directory.ts'

const encode = (text: string) => new TextEncoder().encode(text)

async function text(logs: LogStore, query: LogQuery): Promise<string> {
  let all = ''
  for await (const piece of logs.read('c1', query))
    all += `${piece.stream === 'stderr' ? '!' : ''}${new TextDecoder().decode(piece.bytes)}`
  return all
}

async function inDirectory(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-logs-'))
  try {
    await work(dir)
  } finally {
    rmSync(dir, { recursive: true })
  }
}

test('a log gives back the streams in order of arrival, and only what a query asks for', () =>
  inDirectory(async (dir) => {
    let clock = 1000
    await using logs = createLogDirectory(dir, () => clock++)
    await logs.append('c1', 'stdout', 0, encode('one\ntwo\n'))
    await logs.append('c1', 'stderr', 0, encode('oops\n'))
    await logs.append('c1', 'stdout', 8, encode('three\n'))
    const streams = ['stdout', 'stderr'] as const
    assert.equal(await text(logs, { streams }), 'one\ntwo\n!oops\nthree\n')
    assert.equal(await text(logs, { streams: ['stdout'], tailLines: 2 }), 'two\nthree\n')
    assert.equal(await text(logs, { streams, tailLines: 2 }), '!oops\nthree\n')
    assert.equal(await text(logs, { streams, tailLines: 0 }), '')
    assert.equal(await text(logs, { streams, tailLines: 99 }), 'one\ntwo\n!oops\nthree\n')
    assert.equal(await text(logs, { streams, sinceMs: 1002 }), 'three\n')
  }))

test('a log skips bytes that it already has, so that a follower may start again anywhere', () =>
  inDirectory(async (dir) => {
    await using logs = createLogDirectory(dir, Date.now)
    await logs.append('c1', 'stdout', 0, encode('abcdef'))
    await logs.append('c1', 'stdout', 3, encode('defgh'))
    await logs.append('c1', 'stdout', 0, encode('ab'))
    assert.equal(await text(logs, { streams: ['stdout'] }), 'abcdefgh')
    assert.equal(await logs.size('c1', 'stdout'), 8)
  }))

test('a log keeps bytes whose time was not written when the power went', () =>
  inDirectory(async (dir) => {
    {
      await using logs = createLogDirectory(dir, Date.now)
      await logs.append('c1', 'stdout', 0, encode('safe '))
    }
    appendFileSync(join(dir, 'c1', 'stdout'), 'torn')
    await using logs = createLogDirectory(dir, Date.now)
    assert.equal(await text(logs, { streams: ['stdout'] }), 'safe torn')
    assert.equal(await logs.size('c1', 'stdout'), 9)
  }))

test('following a log goes on until it is closed', () =>
  inDirectory(async (dir) => {
    await using logs = createLogDirectory(dir, Date.now)
    await logs.append('c1', 'stdout', 0, encode('a'))
    const all = text(logs, { streams: ['stdout'], follow: true })
    await logs.append('c1', 'stdout', 1, encode('b'))
    await new Promise((resolve) => setTimeout(resolve, 20))
    await logs.append('c1', 'stdout', 2, encode('c'))
    logs.close('c1')
    assert.equal(await all, 'abc')
  }))
