import assert from 'node:assert/strict'
import { test } from 'node:test'
import { poll } from '../../base/clock.ts'
import { AppError } from '../../base/errors.ts'
import { quietLog } from '../../base/log.ts'
import type { LogStore } from '../containers/ports.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { BmcConsole, BmcPort } from '../power/power-port.ts'
import { createConsole } from './console.ts'
import type { ConsoleView, ViewOptions } from './ports.ts'
import { MAX_VIEWERS, MAX_WAITING_BYTES } from './viewers.ts'

const MACHINE = { id: 'm1', name: 'rack1-07' } as StoredMachine
const LOOK: ViewOptions = { who: 'ann@a', readOnly: false, takeOver: false }
const PATIENCE = { pauseMs: 1, longestPauseMs: 4, noConsoleMs: 60_000, typedMs: 50 }

/** A BMC whose console somebody may have, drop, or keep to himself. */
function fakeBmc() {
  let current: { push(bytes: Uint8Array): void; fail(error: Error): void } | undefined
  const bmc = {
    typed: '',
    breaks: 0,
    /** How often the console was opened, and with what. */
    opened: [] as boolean[],
    open: 0,
    isTakenByOther: false,
    isDeaf: false,
    hasNone: false,
    say: (text: string | Uint8Array) => current!.push(Buffer.from(text as string)),
    drop: () => current!.fail(new AppError('unreachable', 'its session was dropped')),
    /** Another session takes it. */
    take() {
      bmc.isTakenByOther = true
      current!.fail(new AppError('conflict', 'the BMC ended it'))
    },
    port: {
      can: new Set(['console']),
      async console({ takeOver = false } = {}) {
        bmc.opened.push(takeOver)
        if (bmc.hasNone) throw new AppError('unsupported', 'it has no console')
        if (bmc.isDeaf) throw new AppError('unreachable', 'no answer')
        if (bmc.isTakenByOther && !takeOver) throw new AppError('conflict', 'another session has it')
        if (bmc.open > 0) throw new AppError('conflict', 'we have it ourselves')
        bmc.isTakenByOther = false
        bmc.open++
        return openConsole()
      },
    } as unknown as BmcPort,
  }
  function openConsole(): BmcConsole {
    const queue: Uint8Array[] = []
    let failure: Error | undefined
    let isOver = false
    let news = Promise.withResolvers<void>()
    current = {
      push(bytes) {
        queue.push(bytes)
        news.resolve()
      },
      fail(error) {
        failure = error
        news.resolve()
      },
    }
    return {
      async write(bytes) {
        bmc.typed += Buffer.from(bytes).toString()
      },
      async sendBreak() {
        bmc.breaks++
      },
      async *[Symbol.asyncIterator]() {
        for (;;) {
          yield* queue.splice(0)
          if (failure) throw failure
          if (isOver) return
          await news.promise
          news = Promise.withResolvers()
        }
      },
      async [Symbol.asyncDispose]() {
        if (!isOver) bmc.open--
        isOver = true
        news.resolve()
      },
    }
  }
  return bmc
}

/** Logs in memory: what was recorded, notes between brackets. */
function fakeLogs() {
  const kept = new Map<string, string>()
  const fake = {
    isFull: false,
    hold: undefined as Promise<void> | undefined,
    of: (id: string) => kept.get(id) ?? '',
    store: {
      append: (id: string, _stream: string, _offset: number, bytes: Uint8Array) =>
        fake.put(id, Buffer.from(bytes).toString('latin1')),
      note: (id: string, _stream: string, text: string) => fake.put(id, `[${text}]`),
      size: async () => 0,
    } as unknown as LogStore,
    async put(id: string, text: string) {
      await fake.hold
      if (fake.isFull) throw new Error('no space left')
      kept.set(id, fake.of(id) + text)
    },
  }
  return fake
}

function setUp() {
  const bmc = fakeBmc()
  const logs = fakeLogs()
  const service = createConsole({
    log: quietLog,
    logs: logs.store,
    portOf: async () => bmc.port,
    now: Date.now,
    patience: PATIENCE,
  })
  return { bmc, logs, service, [Symbol.asyncDispose]: () => service[Symbol.asyncDispose]() }
}

/** What a viewer sees, as text: output as it is, notices in brackets, its role in braces. */
function watch(view: ConsoleView) {
  const seen = { text: '', isOver: false }
  void (async () => {
    for await (const event of view.events)
      if (event.kind === 'output') seen.text += Buffer.from(event.bytes).toString('latin1')
      else if (event.kind === 'notice') seen.text += `[${event.text}]`
      else seen.text += event.isWriter ? '{writer}' : `{${event.text}}`
    seen.isOver = true
  })()
  return seen
}

async function until(isSo: () => boolean): Promise<void> {
  assert.ok(
    await poll(() => isSo() || undefined, { everyMs: 1, deadlineMs: 5000 }),
    `not so in 5 s: ${isSo.toString()}`,
  )
}

test('several look at once, the first one writes, the others are told who does', async () => {
  await using it = setUp()
  const stop = new AbortController()
  const first = await it.service.view(MACHINE, LOOK, stop.signal)
  const second = await it.service.view(MACHINE, { ...LOOK, who: 'bob@b' }, stop.signal)
  const third = await it.service.view(MACHINE, { ...LOOK, who: 'eve@e', readOnly: true }, stop.signal)
  const seen = [first, second, third].map(watch)
  assert.equal(it.bmc.open, 1)
  await first.write(Buffer.from('a'))
  await second.write(Buffer.from('b'))
  await second.sendBreak()
  await third.write(Buffer.from('c'))
  it.bmc.say('hello\r\n')
  await until(() => seen.every(({ text }) => text.endsWith('hello\r\n')))
  assert.equal(it.bmc.typed, 'a')
  assert.equal(it.bmc.breaks, 0)
  assert.match(seen[0]!.text, /^\{writer\}hello/)
  // Told once when it comes and once when it types, however often it types.
  assert.match(
    seen[1]!.text,
    /^\{read-only: ann@a has been writing since \S+Z; take over with ~w\}\[not sent: ann@a [^\]]*\]hello/,
  )
  assert.match(seen[2]!.text, /^\{\}\[not sent: this view was opened to read only\]hello/)
  stop.abort()
  await until(() => seen.every(({ isOver }) => isOver))
})

test('who takes over writes; who leaves frees it, for whoever asks', async () => {
  await using it = setUp()
  const { signal } = new AbortController()
  const first = await it.service.view(MACHINE, LOOK, signal)
  const second = await it.service.view(MACHINE, { ...LOOK, who: 'bob@b', takeOver: true }, signal)
  const seen = [first, second].map(watch)
  await first.write(Buffer.from('a'))
  await second.write(Buffer.from('b'))
  await second.sendBreak()
  await until(() => seen[0]!.text.includes('not sent'))
  assert.match(seen[0]!.text, /\{read-only now: bob@b has taken over\}\[not sent: bob@b has been/)
  assert.deepEqual([it.bmc.typed, it.bmc.breaks], ['b', 1])
  await second[Symbol.asyncDispose]()
  await until(() => seen[0]!.text.endsWith('[bob@b has left; nobody writes now; begin with ~w]'))
  // A leaver that did not write changes nothing, and nobody is promoted unasked.
  const third = await it.service.view(MACHINE, { ...LOOK, who: 'eve@e', readOnly: true }, signal)
  third.takeOver()
  await third[Symbol.asyncDispose]()
  await first.write(Buffer.from('c'))
  first.takeOver()
  await first.write(Buffer.from('d'))
  assert.equal(it.bmc.typed, 'bd')
  await first[Symbol.asyncDispose]()
  assert.equal(it.bmc.open, 0)
})

test('a console that another session has is a conflict, for the one who asks and for nobody else', async () => {
  await using it = setUp()
  it.bmc.isTakenByOther = true
  const { signal } = new AbortController()
  await assert.rejects(it.service.view(MACHINE, LOOK, signal), {
    code: 'conflict',
    message: /^Cannot open the console of "rack1-07": another session of its BMC has it; take it over with --take-over/,
  })
  assert.deepEqual(it.bmc.opened, [false])
  const view = await it.service.view(MACHINE, { ...LOOK, takeOver: true }, signal)
  assert.deepEqual(it.bmc.opened, [false, true])
  await view[Symbol.asyncDispose]()
})

test('a session that is dropped is opened again; record and viewers are told of the gap', async () => {
  await using it = setUp()
  const stopRecording = await it.service.record(MACHINE, 'c1', () => {})
  const view = await it.service.view(MACHINE, LOOK, new AbortController().signal)
  const seen = watch(view)
  it.bmc.say('one\n')
  await until(() => it.logs.of('c1') === 'one\n')
  it.bmc.isDeaf = true
  it.bmc.drop()
  await until(() => it.bmc.opened.length >= 4)
  // What is typed meanwhile is not kept for later: nobody knows what it would answer by then.
  await view.write(Buffer.from('y\r'))
  it.bmc.isDeaf = false
  await until(() => seen.text.includes('is back'))
  it.bmc.say('two\n')
  await until(() => it.logs.of('c1').endsWith('two\n'))
  const record = /^one\n\[the console was lost: its session was dropped\]\[the console is back after \d+\.\d s\]two\n$/
  assert.match(it.logs.of('c1'), record)
  assert.match(it.logs.of('m1'), record)
  assert.match(seen.text, /\[the console was lost: [^\]]*\]\[2 bytes not sent: [^\]]*\]\[the console is back after/)
  assert.equal(it.bmc.typed, '')
  // A session that was ours and is not answered for any more may still be active in the BMC.
  assert.ok(it.bmc.opened.every((takeOver) => takeOver))
  await view[Symbol.asyncDispose]()
  await stopRecording()
  assert.equal(it.bmc.open, 0)
})

test('a console that was taken away is not taken back until somebody asks for it', async () => {
  await using it = setUp()
  const stopRecording = await it.service.record(MACHINE, 'c1', () => {})
  await until(() => it.bmc.open === 1)
  it.bmc.take()
  await until(() => it.bmc.opened.length >= 4)
  assert.deepEqual(new Set(it.bmc.opened.slice(1)), new Set([false]))
  assert.match(it.logs.of('c1'), /^\[the console was lost: the BMC ended it\]$/)
  await assert.rejects(it.service.view(MACHINE, LOOK, new AbortController().signal), { code: 'conflict' })
  const view = await it.service.view(MACHINE, { ...LOOK, takeOver: true }, new AbortController().signal)
  await until(() => it.logs.of('c1').includes('is back'))
  await view[Symbol.asyncDispose]()
  await stopRecording()
})

test('a BMC that turns out to have no console is left alone until somebody asks', async () => {
  await using it = setUp()
  it.bmc.hasNone = true
  const stopRecording = await it.service.record(MACHINE, 'c1', () => {})
  await until(() => it.logs.of('c1') !== '')
  assert.equal(it.logs.of('c1'), '[the console cannot be opened: it has no console]')
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.equal(it.bmc.opened.length, 1)
  await assert.rejects(it.service.view(MACHINE, LOOK, new AbortController().signal), { code: 'unsupported' })
  assert.equal(it.bmc.opened.length, 2)
  it.bmc.hasNone = false
  const view = await it.service.view(MACHINE, LOOK, new AbortController().signal)
  it.bmc.say('here\n')
  await until(() => it.logs.of('c1').endsWith('here\n'))
  await view[Symbol.asyncDispose]()
  await stopRecording()
})

test('a viewer that does not read loses the oldest and is told how much; the others and the record lose nothing', async () => {
  await using it = setUp()
  const slow = await it.service.view(MACHINE, { ...LOOK, readOnly: true }, new AbortController().signal)
  const quick = await it.service.view(MACHINE, LOOK, new AbortController().signal)
  const seen = watch(quick)
  const piece = Buffer.alloc(64 * 1024, 'x')
  const sentBytes = 40 * piece.length
  for (let i = 0; i < 40; i++) {
    it.bmc.say(piece)
    await until(() => seen.text.length >= (i + 1) * piece.length)
  }
  const late = watch(slow)
  await until(() => late.text.endsWith('x'))
  const [, dropped] = /^\{\}\[(\d+) bytes of output were dropped here: they were not read in time\]x+$/.exec(late.text)!
  const got = late.text.length - late.text.indexOf(']') - 1
  assert.equal(Number(dropped) + got, sentBytes)
  assert.ok(got <= MAX_WAITING_BYTES && got > MAX_WAITING_BYTES / 2)
  await until(() => it.logs.of('m1').length === sentBytes)
})

test('a disk that is slow stops the reading, one that is full costs what it says', async () => {
  await using it = setUp()
  const free = Promise.withResolvers<void>()
  it.logs.hold = free.promise
  const view = await it.service.view(MACHINE, LOOK, new AbortController().signal)
  const seen = watch(view)
  const piece = 'x'.repeat(512 * 1024)
  for (let i = 0; i < 8; i++) it.bmc.say(piece)
  await until(() => seen.text.length >= 4 * piece.length)
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.ok(seen.text.length < 6 * piece.length, 'it went on reading')
  it.logs.hold = undefined
  free.resolve()
  await until(() => it.logs.of('m1').length === 8 * piece.length)
  it.logs.isFull = true
  it.bmc.say('lost')
  await until(() => seen.text.endsWith('lost'))
  await new Promise((resolve) => setTimeout(resolve, 5))
  it.logs.isFull = false
  it.bmc.say('kept')
  await until(() => it.logs.of('m1').endsWith('x[4 bytes were not recorded here: no space left]kept'))
  await view[Symbol.asyncDispose]()
})

test('a recording for its own sake goes on without viewers, takes from nobody, and ends when it is released', async () => {
  await using it = setUp()
  await it.service.keep(MACHINE)
  await until(() => it.bmc.open === 1)
  const view = await it.service.view(MACHINE, LOOK, new AbortController().signal)
  const seen = watch(view)
  it.bmc.say('boot\n')
  await until(() => it.logs.of('m1') === 'boot\n')
  await view[Symbol.asyncDispose]()
  assert.equal(it.bmc.open, 1)
  assert.deepEqual(it.bmc.opened, [false])
  it.service.release('m1')
  // The next one waits for the end of the one before: the BMC has one console.
  const again = await it.service.view(MACHINE, LOOK, new AbortController().signal)
  assert.deepEqual(it.bmc.opened, [false, false])
  const last = watch(again)
  await it.service.forget('m1')
  await until(() => last.isOver && seen.isOver)
  assert.equal(it.bmc.open, 0)
})

test('a driver without consoles is a typed error that names what it has', async () => {
  await using it = setUp()
  const amt = { can: new Set(['power', 'soft-off']) } as unknown as BmcPort
  const service = createConsole({ log: quietLog, logs: it.logs.store, portOf: async () => amt, now: Date.now })
  await assert.rejects(service.view(MACHINE, LOOK, new AbortController().signal), {
    code: 'unsupported',
    message: /"rack1-07": its BMC, .* has only power, soft-off; IPMI and Redfish have consoles/,
  })
  await service[Symbol.asyncDispose]()
})

test('too many viewers are refused, and one that leaves makes room', async () => {
  await using it = setUp()
  const { signal } = new AbortController()
  const views = await Promise.all(Array.from({ length: MAX_VIEWERS }, () => it.service.view(MACHINE, LOOK, signal)))
  await assert.rejects(it.service.view(MACHINE, LOOK, signal), { code: 'exhausted', message: /32 viewers look at it/ })
  await views[0]![Symbol.asyncDispose]()
  await using another = await it.service.view(MACHINE, LOOK, signal)
  assert.ok(another)
  await Promise.all(views.map((view) => view[Symbol.asyncDispose]()))
})

test('who gives up while a console does not open leaves nothing behind', async () => {
  await using it = setUp()
  const hanging = { ...it.bmc.port, console: () => new Promise<never>(() => {}) } as BmcPort
  const service = createConsole({ log: quietLog, logs: it.logs.store, portOf: async () => hanging, now: Date.now })
  const stop = new AbortController()
  const opening = service.view(MACHINE, LOOK, stop.signal)
  stop.abort(new Error('gone'))
  await assert.rejects(opening, /gone/)
  await service[Symbol.asyncDispose]()
})
