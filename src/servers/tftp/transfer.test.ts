import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTransfer, negotiate, type Action, type Terms } from './transfer.ts'

const options = (record: Record<string, string>) => new Map(Object.entries(record))

const asked: [string, Record<string, string>, Record<string, string>, Partial<Terms>][] = [
  ['nothing', {}, {}, { blockBytes: 512, windowBlocks: 1, timeoutMs: 1000 }],
  ['the size', { tsize: '0' }, { tsize: '5000' }, {}],
  ['a block that fits a frame', { blksize: '1400' }, { blksize: '1400' }, { blockBytes: 1400 }],
  ['a block beyond a frame', { blksize: '65464' }, { blksize: '1468' }, { blockBytes: 1468 }],
  ['a window', { windowsize: '65535' }, { windowsize: '64' }, { windowBlocks: 64 }],
  ['a time-out', { timeout: '3' }, { timeout: '3' }, { timeoutMs: 3000 }],
  ['values out of range', { blksize: '7', windowsize: '0', timeout: '256' }, {}, { blockBytes: 512, windowBlocks: 1 }],
  ['values that are none', { blksize: '1e3', windowsize: '-1', timeout: '', multicast: '' }, {}, { blockBytes: 512 }],
]
for (const [name, ask, accepted, terms] of asked)
  test(`tftp terms: ${name}`, () => {
    const got = negotiate(options(ask), 5000)
    assert.deepEqual(got.accepted, options(accepted))
    assert.deepEqual({ ...got, ...terms }, got)
  })

function terms(over: Partial<Terms> = {}): Terms {
  return { blockBytes: 512, windowBlocks: 1, timeoutMs: 1000, accepted: new Map(), ...over }
}
const data = (from: number, to = from): Action => ({ kind: 'data', from, to })

test('tftp transfer: lock-step; a duplicate acknowledgement is not answered (sorcerer’s apprentice)', () => {
  const t = createTransfer(1024, terms())
  assert.deepEqual(t.start(), data(1))
  assert.deepEqual(t.onAck(1), data(2))
  assert.deepEqual(t.onAck(1), { kind: 'wait' })
  assert.deepEqual(t.onAck(7), { kind: 'wait' }, 'a block that was never sent')
  assert.deepEqual(t.onAck(2), data(3), 'an empty block ends a file that fills its last block')
  assert.deepEqual(t.onAck(3), { kind: 'done' })
})

test('tftp transfer: an empty file is one empty block', () => {
  const t = createTransfer(0, terms())
  assert.deepEqual(t.start(), data(1))
  assert.deepEqual(t.onAck(1), { kind: 'done' })
})

test('tftp transfer: OACK first, and data only after its acknowledgement', () => {
  const t = createTransfer(100, terms({ accepted: options({ tsize: '100' }) }))
  assert.deepEqual(t.start(), { kind: 'oack' })
  assert.deepEqual(t.onAck(1), { kind: 'wait' })
  assert.deepEqual(t.onTimeout(), { kind: 'oack' })
  assert.deepEqual(t.onAck(0), data(1))
})

test('tftp transfer: a window is repeated from the block that was lost, once for each loss (RFC 7440)', () => {
  const t = createTransfer(512 * 100, terms({ windowBlocks: 4 }))
  assert.deepEqual(t.start(), data(1, 4))
  assert.deepEqual(t.onAck(2), data(3, 6))
  assert.deepEqual(t.onAck(2), data(3, 6), 'block 3 was lost')
  assert.deepEqual(t.onAck(2), { kind: 'wait' })
  assert.deepEqual(t.onAck(6), data(7, 10))
})

test('tftp transfer: block numbers wrap at 65535', () => {
  const t = createTransfer(8 * 200_000, terms({ blockBytes: 8, windowBlocks: 64 }))
  let action = t.start()
  let steps = 0
  while (action.kind === 'data') {
    steps++
    action = t.onAck(action.to & 0xffff)
  }
  assert.deepEqual([action.kind, steps], ['done', Math.ceil(200_001 / 64)])
})

test('tftp transfer: a client that was never heard is given up after 4 tries, one that was after 6; waits grow', () => {
  const silent = createTransfer(100, terms())
  silent.start()
  const waits = [silent.waitMs()]
  while (silent.onTimeout().kind !== 'give-up') waits.push(silent.waitMs())
  assert.deepEqual(waits, [1000, 2000, 4000, 8000])
  const heard = createTransfer(10_000, terms())
  heard.start()
  heard.onAck(1)
  let tries = 1
  while (heard.onTimeout().kind !== 'give-up') tries++
  assert.equal(tries, 6)
  assert.equal(heard.waitMs(), 8000)
})
