import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { consoleOver } from './stream-console.ts'

/** A line that takes what is typed with `take`, by default at once. */
function rig(take: (piece: Buffer, done: (error?: Error) => void) => void = (_piece, done) => done()) {
  const taken: Buffer[] = []
  const stream = new Duplex({
    read() {},
    write(piece: Buffer, _encoding, done) {
      taken.push(piece)
      take(piece, done)
    },
  })
  let closes = 0
  const close = async (): Promise<void> => void closes++
  const lastWords = (): string | undefined => undefined
  const console = consoleOver({ stream, address: '10.0.3.7:22', lastWords, close, writeTimeoutMs: 50 })
  return { console, stream, taken, closes: () => closes }
}

test('consoleOver: what is typed arrives in order and in pieces, whoever types', async () => {
  const { console, taken } = rig()
  const paste = Buffer.alloc(10_000, 'x')
  await Promise.all([console.write(paste), console.write(Buffer.from('y'))])
  assert.deepEqual(
    taken.map((piece) => piece.length),
    [4096, 4096, 1808, 1],
  )
  await console[Symbol.asyncDispose]()
})

test('consoleOver: a BMC that takes nothing is unreachable, one that declines too, and an aborted write is that', async () => {
  const deaf = rig(() => {})
  await assert.rejects(deaf.console.write(Buffer.from('x')), { code: 'unreachable', message: /taken in 50 ms/ })
  const rude = rig((_piece, done) => done(new Error('no')))
  await assert.rejects(rude.console.write(Buffer.from('x')), { code: 'unreachable', message: /session was dropped/ })
  const slow = rig(() => {})
  const stop = new AbortController()
  const writing = slow.console.write(Buffer.from('x'), stop.signal)
  stop.abort(new Error('enough'))
  await assert.rejects(writing, /enough/)
})

test('consoleOver: it ends with an error when the BMC ends it, and without one when we do; closed once', async () => {
  const ended = rig()
  ended.stream.push('last')
  ended.stream.push(null)
  let text = ''
  const read = async (): Promise<void> => {
    for await (const bytes of ended.console) text += Buffer.from(bytes).toString()
  }
  await assert.rejects(read(), { code: 'unreachable', message: /BMC "10\.0\.3\.7:22": its session was dropped; open/ })
  assert.equal(text, 'last')
  const closed = rig()
  const next = closed.console[Symbol.asyncIterator]().next()
  await closed.console[Symbol.asyncDispose]()
  await closed.console[Symbol.asyncDispose]()
  assert.equal((await next).done, true)
  assert.equal(closed.closes(), 1)
  await assert.rejects(closed.console.write(Buffer.from('x')), { code: 'interrupted' })
})
