import assert from 'node:assert/strict'
import { test } from 'node:test'
import { quietLog, type Log } from '../../base/log.ts'
import { parsePacket, serializePacket, type Packet } from '../../wire/dhcp/packet.ts'
import type { Options } from '../../wire/dhcp/options.ts'
import type { BootDirectory } from './boot.ts'
import { memoryLeaseStore, type Lease, type LeaseStore } from './lease.ts'
import { createDhcpServer } from './server.ts'
import type { UdpPort } from './socket.ts'

const nobody: BootDirectory = {
  bootFor: () => ({ kind: 'none', why: 'nothing' }),
  addressFor: () => undefined,
  ownerOf: () => undefined,
  isKnown: () => false,
}

/** A server on a socket of memory. `ask` hands in packets that arrive at once and yields what was sent until then. */
async function serve(
  store: LeaseStore,
  { nowMs = Date.now, log = quietLog }: { nowMs?: () => number; log?: Log } = {},
) {
  const sent: Packet[] = []
  let hear: (bytes: Uint8Array) => void = () => assert.fail('not listening')
  const port: UdpPort = {
    isBound: true,
    onMessage: (listener) =>
      void (hear = (bytes) => listener(bytes, { address: '0.0.0.0', family: 'IPv4', port: 68, size: 0 })),
    onError: () => undefined,
    send: (bytes) => void sent.push(parsePacket(bytes)),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  const stop = new AbortController()
  const events: string[] = []
  const server = createDhcpServer(
    {
      interfaceName: 'none0',
      serverAddress: '10.0.0.1',
      subnets: [{ cidr: '10.0.0.0/24', pools: [['10.0.0.10', '10.0.0.99']], leaseSeconds: 1000 }],
    },
    { log, directory: nobody, store, nowMs, onEvent: (e) => void events.push(e.kind), openPort: async () => port },
  )
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  const running = server.task.run(stop.signal, resolve)
  await Promise.race([ready, running])
  return {
    server,
    events,
    async ask(...packets: Uint8Array[]): Promise<string[]> {
      sent.length = 0
      for (const bytes of packets) hear(bytes)
      await new Promise((done) => setTimeout(done, 200))
      return sent.map((packet) => `${packet.options.messageType} ${packet.yiaddr}`)
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await running
    },
  }
}

function packet(options: Options, last = 1): Uint8Array {
  const none = '0.0.0.0'
  const chaddr = Uint8Array.of(2, 0, 0, 0, 0, last)
  const head = { op: 'request', htype: 1, chaddr, hops: 0, xid: last, secs: 0, broadcast: true } as const
  return serializePacket({
    ...head,
    ciaddr: none,
    yiaddr: none,
    siaddr: none,
    giaddr: none,
    sname: '',
    file: '',
    options,
  })
}
const discover = (last?: number) => packet({ messageType: 'discover' }, last)
const request = (requestedAddress: string, last?: number) =>
  packet({ messageType: 'request', serverId: '10.0.0.1', requestedAddress }, last)

test('dhcp server: packets that arrive together are committed together, before any of them is acknowledged', async () => {
  const batches: number[] = []
  const { promise: disk, resolve: written } = Promise.withResolvers<void>()
  await using site = await serve({ load: () => [], commit: (changes) => (batches.push(changes.length), disk) })
  assert.deepEqual(await site.ask(request('10.0.0.10', 1), request('10.0.0.11', 2), discover(3)), ['offer 10.0.0.12'])
  assert.deepEqual(batches, [2], 'both in one transaction; the offer needs none')
  written()
  assert.deepEqual(await site.ask(), ['ack 10.0.0.10', 'ack 10.0.0.11'])
})

test('dhcp server: a lease that cannot be stored is not acknowledged, health says so, and the address is free again', async () => {
  let isBroken = true
  const memory = memoryLeaseStore()
  const store: LeaseStore = {
    load: () => memory.load(),
    commit: (changes) => {
      if (isBroken) throw new Error('disk I/O error')
      return memory.commit(changes)
    },
  }
  await using site = await serve(store)
  assert.deepEqual(await site.ask(request('10.0.0.10')), [])
  assert.deepEqual(site.server.health(), {
    isHealthy: false,
    dropped: 0,
    why: 'leases cannot be stored: disk I/O error',
  })
  assert.deepEqual(site.server.leases(), [])
  assert.deepEqual(site.events, [], 'what did not happen is not told')
  isBroken = false
  assert.deepEqual(await site.ask(request('10.0.0.10', 2)), ['ack 10.0.0.10'])
  assert.equal(site.server.health().isHealthy, true)
  assert.deepEqual(
    store.load().map((lease) => lease.mac),
    ['02:00:00:00:00:02'],
  )
})

test('dhcp server: noise and a fault in our own directory do not stop it', async () => {
  const errors: string[] = []
  const log: Log = { ...quietLog, error: (event) => void errors.push(event) }
  await using site = await serve(memoryLeaseStore(), { log })
  assert.deepEqual(await site.ask(new Uint8Array(), Uint8Array.of(1, 2, 3), discover(1)), ['offer 10.0.0.10'])
  assert.deepEqual(errors, [])
})

test('dhcp server: leases survive a restart; a wall clock that jumps ends none and stretches none (P19)', async () => {
  const store = memoryLeaseStore()
  let wallMs = 1_800_000_000_000
  {
    await using site = await serve(store, { nowMs: () => wallMs })
    await site.ask(request('10.0.0.10', 1))
    wallMs += 365 * 86_400_000
    assert.deepEqual(
      await site.ask(request('10.0.0.10', 2)),
      ['nak 0.0.0.0'],
      'a year later by the wall, at once by the steady clock',
    )
    await site.ask(request('10.0.0.10', 1))
    assert.ok(store.load()[0]!.expiresAtMs > wallMs, 'what is stored follows the wall clock')
  }
  wallMs -= 10 * 86_400_000
  await using again = await serve(store, { nowMs: () => wallMs })
  assert.deepEqual(await again.ask(request('10.0.0.10', 2)), ['nak 0.0.0.0'])
  const left = again.server.leases()[0]!.expiresAtMs - wallMs
  assert.ok(left > 0 && left <= 3600_000, `${left} ms left`)
})

test('dhcp server: an offered address is never stored', async () => {
  const stored: Lease[] = []
  await using site = await serve({
    load: () => [],
    commit: (changes) => void stored.push(...changes.map((c) => c.lease)),
  })
  await site.ask(discover(1))
  assert.deepEqual(stored, [])
})
