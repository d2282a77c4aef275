import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Reader, Writer, concatBytes, fromHex, toHex } from './bytes.ts'
import { poll } from './clock.ts'
import { AppError, WireError, explain } from './errors.ts'
import { runTasks, type Task } from './task.ts'

test('Reader reads what Writer wrote, in both byte orders', () => {
  const bytes = new Writer(1).u8(1).u16(2).u32(3).u64(4n).u16le(5).u32le(6).u64le(7n).utf8('é').zeros(2).align(8).done()
  const r = new Reader(bytes, 'sample')
  assert.deepEqual([r.u8(), r.u16(), r.u32(), r.u64(), r.u16le(), r.u32le(), r.u64le()], [1, 2, 3, 4n, 5, 6, 7n])
  assert.equal(r.utf8(2), 'é')
  assert.equal(bytes.length % 8, 0)
})

test('Reader refuses to read past the end and names the field', () => {
  const r = new Reader(fromHex('0102'), 'sample')
  assert.throws(() => r.u32('lease'), {
    name: 'WireError',
    message: 'Cannot read sample: lease at offset 0: 4 bytes needed, 2 left',
  })
  assert.throws(() => r.take(-1), WireError)
  assert.throws(() => r.take(Number.NaN), WireError)
  assert.equal(toHex(r.rest()), '0102')
})

test('Reader.latin1 keeps every byte', () => {
  const all = Uint8Array.from({ length: 256 }, (_, n) => n)
  const text = new Reader(all, 's').latin1(256)
  assert.deepEqual(
    Array.from(text, (character) => character.charCodeAt(0)),
    [...all],
  )
})

test('Reader.untilNul bounds the search', () => {
  assert.equal(new Reader(fromHex('61006200'), 's').untilNul(4).length, 1)
  assert.throws(() => new Reader(fromHex('616263'), 's').untilNul(8), WireError)
  assert.throws(() => new Reader(fromHex('61626300'), 's').untilNul(2), WireError)
})

test('concatBytes and Writer.field keep exact sizes', () => {
  assert.equal(toHex(concatBytes(fromHex('01'), fromHex('0203'))), '010203')
  assert.equal(toHex(new Writer().field(fromHex('01'), 3).done()), '010000')
  assert.throws(() => new Writer().field(fromHex('0102'), 1), RangeError)
})

test('explain joins an error with its causes', () => {
  const error = new AppError('unreachable', 'Cannot read power state of "m1"', { cause: new Error('no answer') })
  assert.equal(explain(error), 'Cannot read power state of "m1": no answer')
})

test('runTasks stops the others when one fails and keeps the cause', async () => {
  let stopped = false
  const tasks: Task[] = [
    { name: 'bad', run: async (_signal, ready) => (ready(), Promise.reject(new Error('port taken'))) },
    {
      name: 'good',
      run: (signal, ready) =>
        new Promise((resolve) => {
          ready()
          signal.addEventListener('abort', () => ((stopped = true), resolve()))
        }),
    },
  ]
  let ready = 0
  await assert.rejects(
    runTasks(tasks, new AbortController().signal, () => ready++),
    (error: AggregateError) => explain(error) === 'Cannot go on: task "bad" failed: port taken',
  )
  assert.equal(stopped, true)
  assert.equal(ready, 1)
})

test('poll gives up at its deadline', async () => {
  let asked = 0
  assert.equal(await poll(() => (++asked === 3 ? 'yes' : undefined), { everyMs: 1, deadlineMs: 1000 }), 'yes')
  assert.equal(await poll(() => undefined, { everyMs: 5, deadlineMs: 10 }), undefined)
})
