/** What a disabled machine hears of the servers for machines, as the daemon wires them, on loopback: nothing. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import { quietLog, type Fields, type Log } from '../../src/base/log.ts'
import { runTasks } from '../../src/base/task.ts'
import { readConfig } from '../../src/daemon/config.ts'
import { openNetwork } from '../../src/daemon/network.ts'
import { openDirectory } from '../../src/services/boot/directory.ts'
import type { Kits } from '../../src/services/kits/kits.ts'
import { parseTftp, serializeTftp } from '../../src/wire/tftp/packet.ts'
import { openSmallSite } from '../fakes/small-site.ts'
import { World } from '../fakes/world.ts'

const LOADER = 'snponly.efi'
const OURS = { mac: '52:54:00:00:00:01', ip: '127.0.0.21' }
const OTHER = { mac: '52:54:00:00:00:02', ip: '127.0.0.22' }

test('a disabled machine gets nothing by TFTP and HTTP, and others go on getting everything', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-disabled-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, LOADER), 'a loader')
  const world = new World()
  await using site = await openSmallSite({ folder, world })
  t.after(() => world.end())
  for (const [name, { mac, ip }] of Object.entries({ m1: OURS, m2: OTHER })) {
    await site.addMachine(name, mac)
    await site.machines.change(name, { ip })
  }
  const directory = await openDirectory(site.machineStore, site.boots, 'http://127.0.0.1:1')
  const [httpPort, tftpPort] = [await freePort(), await freePort()]
  const { config } = readConfig({}, undefined, {}, 0)
  /** The addresses of clients that TFTP left without an answer. */
  const ignored: unknown[] = []
  const log: Log = {
    ...quietLog,
    debug: (_event: string, fields?: Fields) =>
      void (fields?.['why'] === 'the client gets no answer' && ignored.push(fields['address'])),
    with: () => log,
  }
  const kits = {
    open: async () => ({ digest: 'sha256:0', ipxe: new Map([[LOADER, join(folder, LOADER)]]), grub: new Map() }),
  }
  await using network = await openNetwork({
    config: { ...config, httpPort, tftpPort, dhcp: false, tftp: true, routerAdvertisements: false },
    log,
    boot: site.boot,
    agents: site.agents,
    attachments: site.attachments,
    directory,
    kits: kits as unknown as Kits,
    iface: { name: 'lo', address: '127.0.0.1', cidr: '127.0.0.0/8' },
    leasePath: join(folder, 'leases.db'),
  })
  const stop = new AbortController()
  const ready = Promise.withResolvers<void>()
  const running = runTasks(network.tasks, stop.signal, ready.resolve)
  await Promise.race([ready.promise, running])

  const http = (ip: string, path: string): Promise<[status: number, text: string]> =>
    new Promise((resolve, reject) => {
      const asked = request({ host: '127.0.0.1', port: httpPort, path, localAddress: ip, agent: false }, (answer) => {
        let text = ''
        answer.on('data', (part: Buffer) => (text += part.toString()))
        answer.on('end', () => resolve([answer.statusCode!, text]))
      })
      asked.on('error', reject).end()
    })
  const script = (mac: string) => `/boot/waiting.ipxe?mac=${mac.replaceAll(':', '-')}`
  /** Asks as the machine at an address. @returns the first answer, or `silence` once the server has said why to itself */
  async function tftp(ip: string): Promise<string> {
    ignored.length = 0
    const socket = createSocket('udp4').bind(0, ip)
    await once(socket, 'listening')
    let heard: string | undefined
    socket.on('message', (bytes: Buffer) => {
      const packet = parseTftp(bytes)
      heard ??= packet.op === 'data' ? Buffer.from(packet.bytes).toString() : packet.op
    })
    socket.send(serializeTftp({ op: 'rrq', name: LOADER, mode: 'octet', options: new Map() }), tftpPort, '127.0.0.1')
    const answer = () => heard ?? (ignored.includes(ip) ? 'silence' : undefined)
    const said = await poll(async () => answer(), { everyMs: 5, deadlineMs: 10_000 })
    socket.close()
    return said ?? 'neither an answer nor a reason'
  }
  try {
    assert.deepEqual([await tftp(OURS.ip), await tftp(OTHER.ip)], ['a loader', 'a loader'])
    assert.deepEqual(await http(OURS.ip, `/loader/${LOADER}`), [200, 'a loader'])
    assert.match((await http(OURS.ip, script(OURS.mac)))[1], /m1 has no container to boot/)

    await site.machines.change('m1', { enabled: false })
    await directory.refresh()
    assert.deepEqual([await tftp(OURS.ip), await tftp(OTHER.ip)], ['silence', 'a loader'])
    const nothing = [404, 'Cannot find what this address stood for\n']
    assert.deepEqual(await http(OURS.ip, `/loader/${LOADER}`), nothing)
    assert.deepEqual(await http(OURS.ip, script(OURS.mac)), nothing)
    assert.deepEqual(await http(OTHER.ip, `/loader/${LOADER}`), [200, 'a loader'])
    assert.match((await http(OTHER.ip, script(OTHER.mac)))[1], /m2 has no container to boot/)

    await site.machines.change('m1', { enabled: true })
    await directory.refresh()
    assert.equal(await tftp(OURS.ip), 'a loader')
  } finally {
    stop.abort()
    await running
  }
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
