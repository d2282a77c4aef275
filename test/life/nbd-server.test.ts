import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, truncateSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Worker } from 'node:worker_threads'
import { NbdClient } from '../fakes/nbd-client.ts'
import { makeDevice } from '../fakes/nbd-device.ts'
import { quietLog, type Log } from '../../src/base/log.ts'
import { poll } from '../../src/base/clock.ts'
import { NBD_CMD, NBD_CMD_FLAG, NBD_ERROR } from '../../src/wire/nbd/transmission.ts'
import { createNbdServer, startNbdThread, type NbdServerOptions } from '../../src/servers/nbd/server.ts'

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address() as { port: number }
  await new Promise((resolve) => probe.close(resolve))
  return port
}

async function serve(options: Partial<NbdServerOptions> = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'bareboat-nbd-'))
  const device = makeDevice(directory)
  const port = await freePort()
  const asked: string[] = []
  const server = createNbdServer({
    log: quietLog,
    address: '127.0.0.1',
    port,
    threads: 2,
    async open(token) {
      asked.push(token)
      return token.startsWith('token') ? device.files : undefined
    },
    ...options,
  })
  const stop = new AbortController()
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  const running = server.task.run(stop.signal, resolve)
  await Promise.race([ready, running])
  return {
    ...device,
    server,
    port,
    asked,
    directory,
    async [Symbol.asyncDispose]() {
      stop.abort()
      await running
      rmSync(directory, { recursive: true })
    },
  }
}

for (const structured of [true, false])
  test(`nbd server: every byte of an export with ${structured ? 'structured' : 'simple'} replies`, async () => {
    await using site = await serve()
    await using client = await NbdClient.open(site.port, 'token', { structured })
    const { bytes } = site
    const reads: [number, number][] = [
      [0, bytes.length],
      [0, 1],
      [bytes.length - 1, 1],
      [4095, 4098],
      [0, 0],
    ]
    for (let n = 0; n < 300; n++) {
      const offset = (n * 1_299_709) % bytes.length
      reads.push([offset, Math.min((n * 104_729) % 400_000, bytes.length - offset)])
    }
    for (const [offset, length] of reads) {
      const got = await client.read(offset, length)
      assert.ok(got.equals(bytes.subarray(offset, offset + length)), `${length} bytes at ${offset}`)
    }
    if (structured) assert.ok((await client.read(0, 1_000_000, NBD_CMD_FLAG.df)).equals(bytes.subarray(0, 1_000_000)))
  })

test('nbd server: zeros are told, not sent, unless one piece is asked for', async () => {
  await using site = await serve()
  await using client = await NbdClient.open(site.port, 'token')
  const hole = site.bytes.indexOf(Buffer.alloc(8 * 4096))
  client.send({ offset: hole, length: 32_768 })
  assert.partialDeepStrictEqual((await client.reply()).reply, {
    kind: 'hole',
    offset: hole,
    length: 32_768,
    isLast: true,
  })
  client.send({ offset: hole, length: 32_768, flags: NBD_CMD_FLAG.df })
  assert.partialDeepStrictEqual((await client.reply()).reply, { kind: 'data', length: 32_768, isLast: true })
})

test('nbd server: many requests in flight are answered in order', async () => {
  await using site = await serve()
  await using client = await NbdClient.open(site.port, 'token', { structured: false })
  const cookies = Array.from({ length: 2000 }, (_, n) => client.send({ offset: (n * 4096) % 1_000_000, length: 4096 }))
  for (const [n, cookie] of cookies.entries()) {
    const { reply, data } = await client.reply(4096)
    const offset = (n * 4096) % 1_000_000
    assert.equal(reply.cookie, cookie)
    assert.ok(data.equals(site.bytes.subarray(offset, offset + 4096)))
  }
})

const refusals: [string, { command?: number; offset?: number; length?: number }, number, number?][] = [
  ['a write, its payload passed over', { command: NBD_CMD.write, length: 100_000 }, NBD_ERROR.EPERM, 100_000],
  ['an empty write', { command: NBD_CMD.write }, NBD_ERROR.EPERM],
  ['a trim', { command: NBD_CMD.trim, length: 4096 }, NBD_ERROR.EPERM],
  ['writing zeros', { command: NBD_CMD.writeZeroes, length: 4096 }, NBD_ERROR.EPERM],
  ['a read past the end', { offset: 1e12, length: 1 }, NBD_ERROR.EINVAL],
  ['a read at the end of numbers', { offset: Number.MAX_SAFE_INTEGER, length: 2 ** 32 - 1 }, NBD_ERROR.EINVAL],
  ['caching past the end', { command: NBD_CMD.cache, offset: 1e12, length: 1 }, NBD_ERROR.EINVAL],
  ['block status, which nobody agreed on', { command: NBD_CMD.blockStatus, length: 4096 }, NBD_ERROR.EINVAL],
  ['a command that there is not', { command: 99 }, NBD_ERROR.EINVAL],
]
for (const structured of [true, false])
  test(`nbd server: refused with ${structured ? 'structured' : 'simple'} replies, and the connection goes on`, async () => {
    await using site = await serve()
    await using client = await NbdClient.open(site.port, 'token', { structured })
    for (const [name, request, error, payload] of refusals) {
      client.send(request, payload === undefined ? undefined : new Uint8Array(payload))
      assert.partialDeepStrictEqual((await client.reply()).reply, { error }, name)
    }
    for (const command of [NBD_CMD.flush, NBD_CMD.cache]) {
      client.send({ command })
      const { reply } = await client.reply()
      assert.ok(reply.kind === 'none' || (reply.kind === 'simple' && reply.error === 0))
    }
    assert.ok((await client.read(0, 100)).equals(site.bytes.subarray(0, 100)))
    client.send({ offset: 0, length: 200_000 })
    client.send({ command: NBD_CMD.disconnect })
    for (let left = 200_000; left > 0;) {
      const { reply, data } = await client.reply(200_000)
      left -= reply.kind === 'hole' ? reply.length : data.length
    }
    await client.closed()
  })

test('nbd server: names are not told, and each that opens nothing is refused alike', async () => {
  await using site = await serve()
  await using client = await NbdClient.connect(site.port)
  assert.partialDeepStrictEqual(await client.ask({ option: 'list' }), [{ reply: 'error', error: 'policy' }])
  assert.partialDeepStrictEqual(await client.ask({ option: 'startTls' }), [{ reply: 'error', error: 'policy' }])
  const context = { option: 'other', code: 10, data: new Uint8Array(20) } as const
  assert.partialDeepStrictEqual(await client.ask(context), [{ reply: 'error', error: 'unsupported' }])
  const unknown = await Promise.all(
    ['', 'wrong', 'x'.repeat(4096)].map(async (name) => {
      await using other = await NbdClient.connect(site.port)
      return [
        await other.ask({ option: 'info', name, requests: [] }),
        await other.ask({ option: 'go', name, requests: [3] }),
      ]
    }),
  )
  assert.partialDeepStrictEqual(unknown[0]![1], [{ reply: 'error', error: 'unknown' }])
  for (const other of unknown) assert.deepEqual(other, unknown[0])
  assert.deepEqual(
    site.asked.toSorted(),
    ['', '', 'wrong', 'wrong'],
    'nobody is asked about a name that cannot be ours',
  )
  for (let tries = 0; tries < 3; tries++) await client.ask({ option: 'go', name: 'wrong', requests: [] })
  await client.closed()
})

test('nbd server: EXPORT_NAME opens, or ends the connection', async () => {
  await using site = await serve()
  await using client = await NbdClient.connect(site.port)
  client.socket.write(Buffer.from('49484156454f5054' + '00000001' + '00000005' + '746f6b656e', 'hex'))
  await new Promise((resolve) => client.socket.once('data', resolve))
  await using wrong = await NbdClient.connect(site.port)
  wrong.socket.write(Buffer.from('49484156454f5054' + '00000001' + '00000001' + '78', 'hex'))
  await wrong.closed()
})

test('nbd server: looking does not begin a session, reading does; drop ends it everywhere, and it may come back', async () => {
  await using site = await serve({ threads: 3 })
  await using looker = await NbdClient.connect(site.port)
  const replies = await looker.ask({ option: 'info', name: 'token-a', requests: [2, 3] })
  assert.deepEqual(
    replies.map((reply) => (reply.reply === 'info' ? reply.info.info : reply.reply)),
    ['export', 'blockSize', 'description', 'ack'],
  )
  assert.deepEqual(await site.server.sessions(), [])
  const clients = await Promise.all(Array.from({ length: 12 }, () => NbdClient.open(site.port, 'token-a')))
  await using other = await NbdClient.open(site.port, 'token-b')
  await Promise.all(clients.map((client) => client.read(0, 4096)))
  const [a] = (await site.server.sessions()).filter(({ token }) => token === 'token-a')
  assert.partialDeepStrictEqual(a, { connections: 12, requests: 12, addresses: ['127.0.0.1'] })
  assert.ok(a!.bytesSent > 12 * 4096)
  site.server.drop('token-a')
  await Promise.all(clients.map((client) => client.closed()))
  assert.ok((await other.read(0, 10)).equals(site.bytes.subarray(0, 10)))
  await using again = await NbdClient.open(site.port, 'token-a')
  await again.read(0, 10)
  site.server.forget('token-a')
  await again.closed()
  assert.deepEqual(
    (await site.server.sessions()).map(({ token }) => token),
    ['token-b'],
  )
})

test('nbd server: what was read first is noted, across threads', async () => {
  await using site = await serve({ threads: 3 })
  const clients = await Promise.all(Array.from({ length: 6 }, () => NbdClient.open(site.port, 'token')))
  const blocks = [70, 3, 72, 10, 3, 40]
  for (const [at, client] of clients.entries()) await client.read(blocks[at]! * 4096, 8192)
  const { touches, isComplete } = await site.server.touched('token')
  // Blocks that follow one another are one piece where the same thread read them.
  const noted = touches.flatMap(({ start, count }) => Array.from({ length: count }, (_, at) => start + at))
  assert.deepEqual(
    noted.toSorted((a, b) => a - b),
    [3, 4, 10, 11, 40, 41, 70, 71, 72, 73],
  )
  assert.deepEqual(
    noted.filter((block) => block < 70),
    [3, 4, 10, 11, 40, 41],
  )
  assert.ok(isComplete)
  assert.deepEqual((await site.server.touched('token-other')).touches, [])
  await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()))
})

test('nbd server: a token that has too many connections loses the oldest, an address is refused more', async () => {
  await using site = await serve({ limits: { perToken: 2, perAddress: 4 } })
  const [first, second] = [await NbdClient.open(site.port, 'token-a'), await NbdClient.open(site.port, 'token-a')]
  await using third = await NbdClient.open(site.port, 'token-a')
  await first.closed()
  await second.read(0, 1)
  await third.read(0, 1)
  await using b = await NbdClient.open(site.port, 'token-b')
  await using c = await NbdClient.open(site.port, 'token-c')
  await using refused = await NbdClient.connect(site.port)
  for (const name of ['token-d', 'wrong'])
    assert.partialDeepStrictEqual(await refused.ask({ option: 'go', name, requests: [] }), [
      { reply: 'error', error: 'policy' },
    ])
  await second[Symbol.asyncDispose]()
  const opened = await poll(
    async () =>
      (await refused.ask({ option: 'go', name: 'token-d', requests: [] })).at(-1)?.reply === 'ack' || undefined,
    { everyMs: 10, deadlineMs: 5000 },
  )
  assert.ok(opened)
  await Promise.all([b.read(0, 1), c.read(0, 1)])
})

test('nbd server: who says nothing is ended; who does not read holds nothing up, and is ended too', async () => {
  await using site = await serve({ threads: 1, handshakeTimeoutMs: 300, stallTimeoutMs: 300 })
  await using silent = await NbdClient.connect(site.port)
  await using deaf = await NbdClient.open(site.port, 'token', { structured: false })
  deaf.socket.pause()
  for (let n = 0; n < 300; n++) deaf.send({ offset: 0, length: 4_000_000 })
  await using client = await NbdClient.open(site.port, 'token')
  for (let n = 0; n < 20; n++) await client.read(n * 4096, 300_000)
  await silent.closed()
  const gone = await poll(
    async () => (await site.server.sessions()).every(({ connections }) => connections === 1) || undefined,
    { everyMs: 100, deadlineMs: 20_000 },
  )
  assert.ok(gone)
  assert.ok((await client.read(0, 10)).equals(site.bytes.subarray(0, 10)))
})

test('nbd server: bytes that cannot be read are an error of that read, said in the log', async () => {
  const said: string[] = []
  const log: Log = {
    ...quietLog,
    warn: (event, fields) => void said.push(`${event}: ${String(fields?.['why'])}`),
    with: () => log,
  }
  await using site = await serve({ log })
  await using structured = await NbdClient.open(site.port, 'token')
  await using simple = await NbdClient.open(site.port, 'token', { structured: false })
  for (const path of site.files.blobPaths) truncateSync(path, 100_000)
  for (const client of [structured, simple]) {
    await assert.rejects(client.read(site.bytes.length - 200_000, 100_000), /NBD 5/)
    assert.ok((await client.read(0, 4096)).equals(site.bytes.subarray(0, 4096)))
  }
  assert.ok(
    said.every((line) => /NBD read failed: Cannot read a file of an export: its bytes at \d+ are missing/.test(line)),
  )
  assert.ok(said.length >= 2)
})

test('nbd server: an export whose files are gone is refused, and its opener told', async () => {
  const said: string[] = []
  const log: Log = {
    ...quietLog,
    error: (event, fields) => void said.push(`${event}: ${String(fields?.['why'])}`),
    with: () => log,
  }
  await using site = await serve({ log })
  rmSync(site.files.mapPath)
  await using client = await NbdClient.connect(site.port)
  const replies = await client.ask({ option: 'go', name: 'token', requests: [] })
  assert.partialDeepStrictEqual(replies, [{ reply: 'error', error: 'platform' }])
  assert.match(said[0]!, /Cannot open file ".*map" of an export: there is none/)
  assert.deepEqual(await site.server.sessions(), [])
})

test('nbd server: a thread that dies is started again and said once', async () => {
  const said: string[] = []
  const threads: Worker[] = []
  const log: Log = { ...quietLog, error: (event) => void said.push(event), with: () => log }
  await using site = await serve({
    log,
    threads: 1,
    startThread(orders) {
      const worker = startNbdThread(orders)
      threads.push(worker)
      return worker
    },
  })
  await using before = await NbdClient.open(site.port, 'token')
  await before.read(0, 10)
  await threads[0]!.terminate()
  await before.closed()
  const after = await poll(() => NbdClient.open(site.port, 'token').catch(() => undefined), {
    everyMs: 50,
    deadlineMs: 10_000,
  })
  assert.ok(after)
  await using client = after
  assert.ok((await client.read(0, 10)).equals(site.bytes.subarray(0, 10)))
  assert.equal((await site.server.sessions())[0]?.connections, 1)
  assert.deepEqual(said, ['NBD thread ended and is started again'])
})

test('nbd server: a port that somebody listens on is not shared with them', async () => {
  await using site = await serve()
  const second = createNbdServer({
    log: quietLog,
    address: '127.0.0.1',
    port: site.port,
    threads: 1,
    open: async () => undefined,
  })
  await assert.rejects(
    second.task.run(new AbortController().signal, () => undefined),
    /Cannot serve NBD on "127.0.0.1:\d+": the port is taken/,
  )
})
