import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { LogPiece, LogQuery, LogStore } from '../../services/containers/ports.ts'
import { createLogDirectory } from './directory.ts'

const ROTATION = { fileBytes: 100, files: 3 }
const encode = (text: string) => new TextEncoder().encode(text)
const line = (number: number) => `line ${String(number).padStart(4, '0')}\n`
const lines = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => line(from + i)).join('')

async function say(logs: LogStore, text: string): Promise<void> {
  await logs.append('m1', 'console', await logs.size('m1', 'console'), encode(text))
}

async function pieces(logs: LogStore, query: Partial<LogQuery> = {}): Promise<LogPiece[]> {
  return Array.fromAsync(logs.read('m1', { streams: ['console'], ...query }))
}

const textOf = (all: readonly LogPiece[], stream: LogPiece['stream'] = 'console') =>
  all.map((piece) => (piece.stream === stream ? new TextDecoder().decode(piece.bytes) : '')).join('')

async function inDirectory(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'bareboat-logs-'))
  try {
    await work(dir)
  } finally {
    rmSync(dir, { recursive: true })
  }
}

test('a console is kept in parts, of which the oldest go; what is left is whole and goes on after a new opening', () =>
  inDirectory(async (dir) => {
    {
      await using logs = createLogDirectory(dir, Date.now, ROTATION)
      for (let i = 0; i < 100; i++) await say(logs, line(i))
      // Ten lines fill a part.
      assert.equal(textOf(await pieces(logs)), lines(70, 100))
    }
    await using logs = createLogDirectory(dir, Date.now, ROTATION)
    await say(logs, line(100))
    assert.equal(textOf(await pieces(logs)), lines(80, 101))
    const names = ['console.10', 'console.10.index', 'console.8', 'console.8.index', 'console.9', 'console.9.index']
    assert.deepEqual(readdirSync(join(dir, 'm1')).toSorted(), names)
    assert.equal(readFileSync(join(dir, 'm1', 'console.9'), 'latin1'), lines(90, 100))
  }))

test('one chunk larger than a part is kept whole, and other streams are never rotated', () =>
  inDirectory(async (dir) => {
    await using logs = createLogDirectory(dir, Date.now, ROTATION)
    const large = 'x'.repeat(1000)
    await say(logs, 'a')
    await say(logs, large)
    assert.equal(textOf(await pieces(logs)), `a${large}`)
    for (let i = 0; i < 50; i++) await logs.append('m1', 'stdout', i * 10, encode(line(i)))
    assert.equal(textOf(await pieces(logs, { streams: ['stdout'] }), 'stdout'), lines(0, 50))
  }))

test('the last lines and a time reach over parts', () =>
  inDirectory(async (dir) => {
    let clock = 0
    await using logs = createLogDirectory(dir, () => clock++, ROTATION)
    for (let i = 0; i < 30; i++) await say(logs, line(i))
    for (const count of [0, 1, 9, 10, 11, 20, 29, 30])
      assert.equal(textOf(await pieces(logs, { tailLines: count })), lines(30 - count, 30), `${count} lines`)
    assert.equal(textOf(await pieces(logs, { tailLines: 1000 })), lines(0, 30))
    const [sixth] = (await pieces(logs)).slice(5)
    assert.equal(textOf(await pieces(logs, { sinceMs: sixth!.atMs })), lines(5, 30))
    assert.equal(textOf(await pieces(logs, { sinceMs: sixth!.atMs, tailLines: 2 })), lines(28, 30))
    assert.equal(textOf(await pieces(logs, { sinceMs: clock + 1000 })), '')
  }))

test('who follows gets each byte once over any number of rotations', () =>
  inDirectory(async (dir) => {
    await using logs = createLogDirectory(dir, Date.now, { fileBytes: 100, files: 64 })
    await say(logs, lines(0, 3))
    const got: LogPiece[] = []
    const begun = Promise.withResolvers<void>()
    const following = (async () => {
      for await (const piece of logs.read('m1', { streams: ['console'], follow: true, tailLines: 1 })) {
        got.push(piece)
        begun.resolve()
      }
    })()
    await begun.promise
    for (let i = 3; i < 200; i++) await say(logs, line(i))
    logs.close('m1')
    await following
    assert.equal(textOf(got, 'note'), '')
    assert.equal(textOf(got), lines(2, 200))
  }))

test('a follower that is overtaken is told how many parts it has missed, and holds no file for ever', () =>
  inDirectory(async (dir) => {
    await using logs = createLogDirectory(dir, Date.now, ROTATION)
    await say(logs, line(0))
    const reading = logs.read('m1', { streams: ['console'], follow: true })[Symbol.asyncIterator]()
    const first = await reading.next()
    for (let i = 1; i < 100; i++) await say(logs, line(i))
    logs.close('m1')
    const rest: LogPiece[] = [first.value as LogPiece]
    for (;;) {
      const { value, done } = await reading.next()
      if (done) break
      rest.push(value)
    }
    // Its own part, which it had open, and the three that are kept.
    assert.equal(textOf(rest), lines(0, 10) + lines(70, 100))
    assert.match(textOf(rest, 'note'), /^\[bareboat \S+Z\] 6 files of this log were removed before they were read\n$/)
  }))

test('a note stands on a line of its own in the file and apart from the bytes', () =>
  inDirectory(async (dir) => {
    await using logs = createLogDirectory(dir, () => 0)
    await say(logs, 'login: ')
    await logs.note('m1', 'console', 'session dropped: \u001b[2Jno\nanswer')
    await logs.note('m1', 'console', 'back')
    await say(logs, 'root\r\n')
    const got = await pieces(logs)
    assert.equal(textOf(got), 'login: root\r\n')
    const said = '\n[bareboat 1970-01-01T00:00:00.000Z] session dropped:  [2Jno answer\n'
    const back = '[bareboat 1970-01-01T00:00:00.000Z] back\n'
    assert.equal(textOf(got, 'note'), said + back)
    assert.equal(readFileSync(join(dir, 'm1', 'console'), 'latin1'), `login: ${said}${back}root\r\n`)
    assert.equal(textOf(await pieces(logs, { tailLines: 1 })), 'login: root\r\n')
  }))

test('whatever was cut off an index, no byte is lost and the record goes on', () =>
  inDirectory(async (dir) => {
    {
      await using logs = createLogDirectory(dir, Date.now)
      for (let i = 0; i < 4; i++) await say(logs, line(i))
    }
    const index = join(dir, 'm1', 'console.index')
    const whole = readFileSync(index)
    assert.equal(whole.length, 4 * 16)
    for (let size = 0; size <= whole.length; size++) {
      writeFileSync(index, whole)
      truncateSync(index, size)
      truncateSync(join(dir, 'm1', 'console'), 40)
      await using logs = createLogDirectory(dir, Date.now)
      await say(logs, line(4))
      assert.equal(textOf(await pieces(logs)), lines(0, 5), `an index of ${size} bytes`)
    }
  }))

test('an index that promises more than there is, or a part that was removed by half, does no harm', () =>
  inDirectory(async (dir) => {
    {
      await using logs = createLogDirectory(dir, Date.now)
      for (let i = 0; i < 4; i++) await say(logs, line(i))
    }
    truncateSync(join(dir, 'm1', 'console'), 25)
    writeFileSync(join(dir, 'm1', 'console.7.index'), 'left behind')
    await using logs = createLogDirectory(dir, Date.now)
    await say(logs, '!\n')
    assert.equal(textOf(await pieces(logs)), `${lines(0, 2)}line !\n`)
    assert.equal(statSync(join(dir, 'm1', 'console')).size, 27)
    assert.deepEqual(readdirSync(join(dir, 'm1')), ['console', 'console.index'])
  }))
