/** Wake-on-LAN on a network of namespaces: socat takes the packets down; presence is judged by the kernel's own ARP. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { poll } from '../../src/base/clock.ts'
import { parseMagicPacket } from '../../src/wire/wol/packet.ts'
import { hasProgram } from '../fakes/ipmi-sim.ts'
import { openNetPair, type NetPair } from './net-pair.ts'

const MAC = '52:54:00:aa:bb:01'
const missing = ['ip', 'socat'].find((program) => !hasProgram(program))
const isRoot = process.getuid?.() === 0

suite('Wake-on-LAN', { skip: missing ? `no ${missing} here` : !isRoot && 'not root' }, () => {
  test('packets with a password come to ports 9 and 7 of the broadcast address, three of each', async () => {
    await using net = openNetPair({ address: '10.66.0.1/24', clientAddress: '10.66.0.2/24' })
    await using listeners = await listen(net, [9, 7])
    const ran = await beside(net, 'wake', { macs: [MAC], password: '00:22:44:66:88:aa' })
    assert.deepEqual([ran.status, ran.stderr], [0, ''])
    for (const port of [9, 7]) {
      const bytes = await listeners.bytes(port, 3 * 108)
      for (let n = 0; n < 3; n++)
        assert.deepEqual(parseMagicPacket(bytes.subarray(n * 108, n * 108 + 108)), {
          mac: MAC,
          password: Uint8Array.of(0x00, 0x22, 0x44, 0x66, 0x88, 0xaa),
        })
    }
  })

  test('two cards at a directed address', async () => {
    await using net = openNetPair({ address: '10.66.0.1/24', clientAddress: '10.66.0.2/24' })
    await using listeners = await listen(net, [9])
    await beside(net, 'wake', { macs: [MAC, '52:54:00:aa:bb:02'], broadcast: '10.66.0.2' })
    const bytes = await listeners.bytes(9, 6 * 102)
    const macs = Array.from({ length: 6 }, (_, n) => parseMagicPacket(bytes.subarray(n * 102, n * 102 + 102)).mac)
    assert.deepEqual(new Set(macs), new Set([MAC, '52:54:00:aa:bb:02']))
  })

  test('where there is no network, it is said so', async () => {
    await using net = openNetPair({ address: '10.66.0.1/24' })
    spawnSync('ip', ['-n', net.serverNamespace, 'addr', 'flush', 'dev', 's0'])
    const ran = await beside(net, 'wake', { macs: [MAC] })
    assert.match(ran.stdout, /unreachable: Cannot wake "wol:52:54:00:aa:bb:01": no interface of the server/)
  })

  test('presence: a machine that answers, one that drops what it gets, a stranger, and nobody', async () => {
    await using net = openNetPair({ address: '10.66.0.1/24', clientAddress: '10.66.0.2/24' })
    const link = JSON.parse((await net.client('ip', '-json', 'link', 'show', 'c0')).stdout) as { address: string }[]
    const mac = link[0]!.address
    const look = async (ip: string, macs: string[]) =>
      (await beside(net, 'presence', { ip, macs, port: 9, timeoutMs: 4000 })).stdout.trim()
    assert.equal(await look('10.66.0.2', [mac]), 'on')
    assert.equal(await look('10.66.0.2', [MAC]), 'unknown', 'another machine has the address')
    assert.equal(await look('10.66.0.9', [MAC]), 'off')
    await net.client('ip', 'link', 'add', 'd0', 'type', 'dummy')
    await net.client('ip', 'link', 'set', 'd0', 'up')
    // Takes the packets and answers none of them: what goes to the server leaves by another interface.
    await net.client('sysctl', '-q', '-w', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.c0.rp_filter=0')
    await net.client('ip', 'route', 'add', '10.66.0.1/32', 'dev', 'd0')
    assert.equal(await look('10.66.0.2', [mac]), 'on', 'its ARP tells')
  })
})

interface Listeners extends AsyncDisposable {
  /** What came to a port, once it is so many bytes; what there is after 10 s. */
  bytes(port: number, length: number): Promise<Uint8Array>
}

/** Writes what comes to UDP ports beside the client's interface into files. */
async function listen(net: NetPair, ports: readonly number[]): Promise<Listeners> {
  const namespace = net.serverNamespace.replace('bbs', 'bbc')
  const children = ports.map((port) => {
    const words = ['-u', `UDP4-RECV:${port}`, `CREATE:${join(net.folder, String(port))}`]
    return spawn('ip', ['netns', 'exec', namespace, 'socat', ...words], { stdio: 'ignore' })
  })
  const isListening = async () => {
    const { stdout } = await net.client('cat', '/proc/net/udp')
    const all = ports.map((port) => `:${port.toString(16).toUpperCase().padStart(4, '0')} `)
    return all.every((entry) => stdout.includes(entry)) || undefined
  }
  assert.ok(await poll(isListening, { everyMs: 50, deadlineMs: 5000 }), 'socat does not listen')
  const read = (port: number) => {
    try {
      return readFileSync(join(net.folder, String(port)))
    } catch {
      return Buffer.alloc(0)
    }
  }
  return {
    async bytes(port, length) {
      const enough = () => (read(port).length >= length ? true : undefined)
      await poll(enough, { everyMs: 50, deadlineMs: 10_000 })
      const bytes = Uint8Array.from(read(port))
      assert.equal(bytes.length, length)
      return bytes
    },
    async [Symbol.asyncDispose]() {
      const ends = children.map((child) => once(child, 'exit'))
      for (const child of children) child.kill()
      await Promise.all(ends)
    },
  }
}

const beside = (net: NetPair, what: string, options: object) =>
  net.beside(process.execPath, join(import.meta.dirname, 'wake-once.ts'), what, JSON.stringify(options))
