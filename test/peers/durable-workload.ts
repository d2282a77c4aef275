/**
 * A short life of the daemon's stores and services, in a process of its own that can be killed or lied to by its disk: machines are added,
 * containers run on them to their end, addresses are leased, an image is imported. `durable-workload.ts DIRECTORY LAYOUT [ROUNDS [wait]]`;
 * with `wait` it says that it is ready and begins at a byte on stdin.
 *
 * What is acknowledged to somebody outside is a line of JSON on stdout, at the moment when it is. Ends with 3 when a database is broken.
 */
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { explain } from '../../src/base/errors.ts'
import { quietLog } from '../../src/base/log.ts'
import { openImageBench } from '../../src/drivers/layout/image-bench.ts'
import { openSqlite } from '../../src/drivers/store/sqlite/database.ts'
import { createLeaseStore, leaseMigrations } from '../../src/drivers/store/sqlite/leases.ts'
import { createDhcpServer } from '../../src/servers/dhcp/server.ts'
import type { UdpPort } from '../../src/servers/dhcp/socket.ts'
import { hardwareAddress, parsePacket, serializePacket } from '../../src/wire/dhcp/packet.ts'
import type { Options } from '../../src/wire/dhcp/options.ts'
import { openSmallSite } from '../fakes/small-site.ts'
import { World } from '../fakes/world.ts'
import { waitForTracer } from './killed-at.ts'

export type Acknowledged =
  | { readonly what: 'machine'; readonly name: string }
  | { readonly what: 'container'; readonly id: string }
  | { readonly what: 'exit'; readonly id: string; readonly exitCode: number }
  | { readonly what: 'removal'; readonly id: string }
  /** A command that went to a BMC: its intent must be known afterwards, or it would be sent again. */
  | { readonly what: 'power-on' }
  | { readonly what: 'lease'; readonly mac: string; readonly address: string }
  | { readonly what: 'image'; readonly id: string }

export const OUTPUT = 'one line of output\n'

/** The rounds of a whole life; more than 100 syncs of the main thread. */
const ROUNDS = 4
const NOWHERE = '0.0.0.0'

if (import.meta.main) {
  const [folder, layout, rounds = ROUNDS, wait] = process.argv.slice(2)
  if (wait !== undefined) waitForTracer()
  await live(folder!, layout!, Number(rounds))
}

function acknowledge(said: Acknowledged): void {
  writeSync(1, `${JSON.stringify(said)}\n`)
}

async function live(folder: string, layout: string, rounds: number): Promise<void> {
  const world = new World()
  await using stack = new AsyncDisposableStack()
  stack.defer(() => world.end())
  const site = stack.use(await openSmallSite({ folder, world }))
  const leases = stack.use(openSqlite<object>(join(folder, 'leases.db'), leaseMigrations))
  for (const { broken } of [site.database, leases])
    broken.addEventListener('abort', () => {
      writeSync(2, explain(broken.reason))
      process.exit(3)
    })
  await using dhcp = await startDhcp(createLeaseStore(leases))
  for (let round = 1; round <= rounds; round++) {
    const mac = `52:54:00:00:00:0${round}`
    const machine = world.machine(mac, `10.0.0.${round}`, { exitCode: round, output: OUTPUT })
    const portOf = machine.port.bind(machine)
    machine.port = (isDead) => {
      const port = portOf(isDead)
      return {
        ...port,
        set(action, signal) {
          if (action === 'on') acknowledge({ what: 'power-on' })
          return port.set(action, signal)
        },
      }
    }
    // What is refused is not acknowledged; the next thing is tried.
    const attempts = [
      async () => {
        await site.addMachine(`m${round}`, mac)
        acknowledge({ what: 'machine', name: `m${round}` })
        const { id } = await site.run({ machine: `m${round}` })
        acknowledge({ what: 'container', id })
        const { exitCode, state } = await site.containers.wait(id)
        if (state === 'exited') acknowledge({ what: 'exit', id, exitCode: exitCode! })
        if (round % 2 === 1) return
        await site.containers.remove(id, false)
        acknowledge({ what: 'removal', id })
      },
      () => dhcp.lease(round),
      async () => {
        if (round % 2 === 0) return
        await using bench = await openImageBench({ directory: join(folder, 'images'), blobs: { threads: 1 } })
        const [image] = await bench.images.import(layout, { reference: `example.org/r${round}` })
        acknowledge({ what: 'image', id: image!.id })
      },
    ]
    await Promise.all(attempts.map((attempt) => attempt().catch((error: unknown) => writeSync(2, explain(error)))))
  }
}

/** The DHCP server on a network of memory; an ACK counts as acknowledged when it is sent. */
async function startDhcp(store: ReturnType<typeof createLeaseStore>) {
  let hear: (bytes: Uint8Array) => void = () => {}
  let answered = Promise.withResolvers<string>()
  const port: UdpPort = {
    isBound: true,
    onMessage: (listener) =>
      void (hear = (bytes) => listener(bytes, { address: NOWHERE, family: 'IPv4', port: 68, size: 0 })),
    onError: () => undefined,
    send(bytes) {
      const reply = parsePacket(bytes)
      const [mac, address] = [hardwareAddress(reply), reply.yiaddr]
      if (reply.options.messageType === 'ack') acknowledge({ what: 'lease', mac, address })
      answered.resolve(address)
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
  const server = createDhcpServer(
    {
      interfaceName: 'none0',
      serverAddress: '10.0.0.254',
      subnets: [{ cidr: '10.0.0.0/24', pools: [['10.0.0.100', '10.0.0.199']], leaseSeconds: 1000 }],
    },
    {
      log: quietLog,
      directory: {
        bootFor: () => ({ kind: 'none', why: 'nothing' }),
        addressFor: () => undefined,
        ownerOf: () => undefined,
        isKnown: () => false,
      },
      store,
      nowMs: Date.now,
      onEvent: () => {},
      openPort: () => Promise.resolve(port),
    },
  )
  const stop = new AbortController()
  const { promise: ready, resolve } = Promise.withResolvers<void>()
  const running = server.task.run(stop.signal, resolve)
  await Promise.race([ready, running])
  const say = (client: number, options: Options): Promise<string> => {
    answered = Promise.withResolvers()
    const chaddr = Uint8Array.of(2, 0, 0, 0, 0, client)
    const head = { op: 'request', htype: 1, chaddr, hops: 0, xid: client, secs: 0, broadcast: true } as const
    const addresses = { ciaddr: NOWHERE, yiaddr: NOWHERE, siaddr: NOWHERE, giaddr: NOWHERE }
    hear(serializePacket({ ...head, ...addresses, sname: '', file: '', options }))
    return answered.promise
  }
  return {
    /** Three clients in turn, each until it has an address. A server that stays silent is not waited for. */
    async lease(round: number): Promise<void> {
      for (const client of [1, 2, 3].map((n) => round * 8 + n)) {
        const requestedAddress = await say(client, { messageType: 'discover' })
        const request = say(client, { messageType: 'request', serverId: '10.0.0.254', requestedAddress })
        await Promise.race([request, new Promise((done) => setTimeout(done, 200))])
      }
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await running
    },
  }
}
