import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import { quietLog } from '../../base/log.ts'
import { parseTftp, serializeTftp } from '../../wire/tftp/packet.ts'
import type { TftpEvent } from './listener.ts'
import { createTftpServer, type TftpServerOptions } from './server.ts'

const shared = new Uint8Array(new SharedArrayBuffer(700)).fill(7)
const FILES: Readonly<Record<string, Uint8Array>> = { shared, copied: new Uint8Array(5).fill(9) }

async function serve(options: Partial<TftpServerOptions> = {}) {
  const probe = createSocket('udp4').bind(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address()
  await probe[Symbol.asyncDispose]()
  const stop = new AbortController()
  const events: TftpEvent[] = []
  const task = createTftpServer({
    log: quietLog,
    address: '127.0.0.1',
    port,
    open: (name) => (name === 'broken' ? Promise.reject(new Error('no disk')) : Promise.resolve(FILES[name])),
    onEvent: (event) => void events.push(event),
    ...options,
  })
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  const running = task.run(stop.signal, resolve)
  await Promise.race([ready, running])
  return {
    port,
    events,
    async [Symbol.asyncDispose]() {
      stop.abort()
      await running
    },
  }
}

/** From a port of its own, as clients do. */
async function fetch(port: number, name: string): Promise<Buffer | string> {
  await using client = createSocket('udp4').bind(0, '127.0.0.1')
  await once(client, 'listening')
  const got: Uint8Array[] = []
  client.send(serializeTftp({ op: 'rrq', name, mode: 'octet', options: new Map() }), port, '127.0.0.1')
  for (;;) {
    const [bytes, from] = (await once(client, 'message', { signal: AbortSignal.timeout(5000) })) as [
      Buffer,
      { port: number },
    ]
    const packet = parseTftp(bytes)
    if (packet.op === 'error') return packet.message
    if (packet.op !== 'data') continue
    got.push(packet.bytes)
    const ack = serializeTftp({ op: 'ack', block: packet.block })
    await new Promise((sent) => client.send(ack, from.port, '127.0.0.1', sent))
    if (packet.bytes.length < 512) return Buffer.concat(got)
  }
}

test('tftp server: threads send what a name stands for, and say what became of it', async () => {
  await using site = await serve()
  for (const [name, bytes] of Object.entries(FILES)) {
    const got = await fetch(site.port, name)
    assert.deepEqual(got, Buffer.from(bytes))
  }
  assert.equal(await fetch(site.port, 'other'), 'there is no such file')
  while (site.events.length < 5) await new Promise((done) => setTimeout(done, 10))
  assert.deepEqual(site.events.map(({ kind, name }) => `${kind} ${name}`).toSorted(), [
    'tftp-done copied',
    'tftp-done shared',
    'tftp-refused other',
    'tftp-start copied',
    'tftp-start shared',
  ])
})

test('tftp server: a port that somebody serves is not shared with them', async () => {
  await using site = await serve()
  await assert.rejects(serve({ port: site.port }), {
    code: 'conflict',
    message: `Cannot serve TFTP on "127.0.0.1:${site.port}": the port is taken`,
  })
  await assert.rejects(serve({ address: '203.0.113.9' }), {
    code: 'conflict',
    message: /: this machine does not have that address$/,
  })
})

test('tftp server: a file that cannot be had is an error of that request, said in the log', async () => {
  const { promise: said, resolve } = Promise.withResolvers<unknown>()
  await using site = await serve({ log: { ...quietLog, error: (event, fields) => resolve([event, fields]) } })
  await using client = createSocket('udp4').bind(0, '127.0.0.1')
  client.send(serializeTftp({ op: 'rrq', name: 'broken', mode: 'octet', options: new Map() }), site.port, '127.0.0.1')
  assert.deepEqual(await said, ['TFTP transfer failed', { name: 'broken', why: 'no disk' }])
  assert.ok(await fetch(site.port, 'shared'))
})
