import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import { quietLog } from '../../base/log.ts'
import { parseTftp, serializeTftp, type TftpPacket } from '../../wire/tftp/packet.ts'
import { createTftpListener, type OpenedFile, type TftpConfig, type TftpEvent } from './listener.ts'

const image = Uint8Array.from({ length: 5000 }, (_, n) => n & 0xff)
const files: Record<string, OpenedFile> = {
  disabled: 'silence',
  'a.efi': { sizeBytes: image.length, read: (offset, length) => image.subarray(offset, offset + length) },
  broken: { sizeBytes: 10, read: () => Promise.reject(new Error('disk I/O error')) },
}

async function serve(config: Partial<TftpConfig> = {}) {
  const probe = createSocket('udp4').bind(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address()
  await probe[Symbol.asyncDispose]()
  const stop = new AbortController()
  const events: TftpEvent[] = []
  const task = createTftpListener(
    { address: '127.0.0.1', port, ...config },
    { log: quietLog, files: { open: (name) => files[name] }, onEvent: (event) => void events.push(event) },
  )
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  const running = task.run(stop.signal, resolve)
  await Promise.race([ready, running])
  const client = createSocket('udp4').bind(0, '127.0.0.1')
  await once(client, 'listening')
  return {
    port,
    client,
    events,
    stop,
    async [Symbol.asyncDispose]() {
      stop.abort()
      await running
      await client[Symbol.asyncDispose]()
    },
  }
}

const rrq = (name: string, options: Record<string, string> = {}, mode = 'octet') =>
  serializeTftp({ op: 'rrq', name, mode, options: new Map(Object.entries(options)) })

async function hear(client: Socket): Promise<{ packet: TftpPacket; port: number }> {
  const [bytes, from] = (await once(client, 'message', { signal: AbortSignal.timeout(3000) })) as [
    Buffer,
    { port: number },
  ]
  return { packet: parseTftp(bytes), port: from.port }
}

/** Fetches a file, acknowledging each `window` blocks. */
async function fetch(client: Socket, port: number, name: string, options: Record<string, string>): Promise<Uint8Array> {
  const got: Uint8Array[] = []
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  const blockBytes = Math.min(Number(options['blksize'] ?? 512), 1468)
  const window = Number(options['windowsize'] ?? 1)
  client.on('message', (bytes, from) => {
    const packet = parseTftp(bytes)
    if (packet.op === 'error') return reject(new Error(packet.message))
    if (packet.op === 'data' && packet.block === got.length + 1) got.push(packet.bytes)
    const isLast = packet.op === 'data' && packet.bytes.length < blockBytes
    if (packet.op === 'oack' || isLast || got.length % window === 0)
      client.send(serializeTftp({ op: 'ack', block: got.length }), from.port)
    if (isLast) resolve(Uint8Array.from(got.flatMap((part) => [...part])))
  })
  client.send(rrq(name, options), port)
  return promise
}

for (const options of [{}, { blksize: '1400' }, { blksize: '1000', windowsize: '3', tsize: '0' }])
  test(`tftp listener: a file arrives whole with ${JSON.stringify(options)}`, async () => {
    await using site = await serve()
    assert.deepEqual(await fetch(site.client, site.port, '/a.efi', options), image)
    await new Promise((done) => setTimeout(done, 20))
    assert.deepEqual(
      site.events.map((event) => event.kind),
      ['tftp-start', 'tftp-done'],
    )
  })

const refusals: [string, Uint8Array, number, RegExp][] = [
  ['a write', serializeTftp({ op: 'wrq', name: 'a.efi', mode: 'octet', options: new Map() }), 2, /only reads/],
  ['a name that there is not', rrq('../../etc/passwd'), 1, /no such file/],
  ['text mode', rrq('a.efi', {}, 'netascii'), 4, /only octet/],
  ['a file that cannot be read', rrq('broken'), 0, /disk I\/O error/],
]
for (const [name, request, code, message] of refusals)
  test(`tftp listener: refused: ${name}`, async () => {
    await using site = await serve()
    site.client.send(request, site.port)
    const { packet } = await hear(site.client)
    assert.ok(packet.op === 'error' && packet.code === code && message.test(packet.message), JSON.stringify(packet))
  })

test('tftp listener: the transfer has a port of its own, a repeated request starts none, a stranger cannot acknowledge', async () => {
  await using site = await serve()
  site.client.send(rrq('a.efi'), site.port)
  const first = await hear(site.client)
  assert.notEqual(first.port, site.port)
  site.client.send(rrq('a.efi'), site.port)
  await using stranger = createSocket('udp4').bind(0, '127.0.0.1')
  await once(stranger, 'listening')
  stranger.send(serializeTftp({ op: 'ack', block: 1 }), first.port, '127.0.0.1')
  const again = await hear(site.client)
  assert.deepEqual(again.packet, first.packet, 'block 1 again after the time-out, not block 2')
  assert.equal(site.events.filter((event) => event.kind === 'tftp-start').length, 1)
})

test('tftp listener: a client that gets no answer hears nothing, and the next one is served', async () => {
  await using server = await serve()
  const { client, port } = server
  client.send(rrq('disabled'), port, '127.0.0.1')
  // Of one port the second is only answered when the first is over.
  const other = createSocket('udp4').bind(0, '127.0.0.1')
  await once(other, 'listening')
  other.send(rrq('nothing'), port, '127.0.0.1')
  assert.equal((await hear(other)).packet.op, 'error')
  client.send(rrq('nothing'), port, '127.0.0.1')
  const { packet } = await hear(client)
  assert.equal(packet.op === 'error' && packet.message, 'there is no such file', 'the first that it hears')
  await other[Symbol.asyncDispose]()
})

test('tftp listener: firmware that asks for the size and breaks off has probed, not failed', async () => {
  await using site = await serve()
  site.client.send(rrq('a.efi', { tsize: '0' }), site.port)
  const { packet, port } = await hear(site.client)
  assert.deepEqual(packet, { op: 'oack', options: new Map([['tsize', '5000']]) })
  site.client.send(serializeTftp({ op: 'error', code: 8, message: 'User aborted the transfer' }), port)
  await new Promise((done) => setTimeout(done, 50))
  assert.deepEqual(
    site.events.map((event) => event.kind),
    ['tftp-start', 'tftp-probed'],
  )
})

test('tftp listener: one source cannot take all transfers', async () => {
  await using site = await serve({ perSource: 1 })
  site.client.send(rrq('a.efi'), site.port)
  await hear(site.client)
  await using second = createSocket('udp4').bind(0, '127.0.0.1')
  await once(second, 'listening')
  second.send(rrq('a.efi'), site.port, '127.0.0.1')
  const answered = await Promise.race([
    once(second, 'message').then(() => true),
    new Promise((done) => setTimeout(() => done(false), 200)),
  ])
  assert.equal(answered, false)
})

test('tftp listener: it ends at once while a transfer runs, and tells the client', async () => {
  await using site = await serve()
  site.client.send(rrq('a.efi'), site.port)
  await hear(site.client)
  const said = hear(site.client)
  site.stop.abort()
  const { packet } = await said
  assert.ok(packet.op === 'error' && /stops/.test(packet.message))
})
