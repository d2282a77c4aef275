/**
 * P9 with the real daemon: malformed packets of every kind at its DHCP, TFTP, boot HTTP and NBD servers. It answers all the while, to us and
 * to clients that are not ours, and does not grow.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import { NBD_PORT } from '../../src/wire/nbd/handshake.ts'
import { mutate, randomFrom } from '../fuzz/mutate.ts'
import { ask, startDaemon, type Daemon } from './durable-daemon.ts'
import { missing, openNetPair, type NetPair } from './net-pair.ts'

const PACKETS = join(import.meta.dirname, '../packets')
const SERVER = '10.66.0.1'
const MUTATIONS = 20_000
/** Seeds of zzuf; each changes all samples. */
const ZZUF_SEEDS = 40
const MAX_GROWN_MB = 20
const MAX_ROUNDS = 6

const token = 'A'.repeat(43)
const post = (path: string, body: string): string =>
  `POST /boot/${token}/${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`
const HTTP_SAMPLES = [
  'GET /boot/waiting.ipxe?mac=52:54:00:12:34:56 HTTP/1.1\r\nHost: 10.66.0.1:8080\r\nUser-Agent: iPXE/1.21.1\r\n\r\n',
  `GET /boot/${token}/kernel HTTP/1.1\r\nHost: a\r\nRange: bytes=100-200\r\nConnection: keep-alive\r\n\r\n`,
  'HEAD /loader/ipxe.efi HTTP/1.1\r\nHost: a\r\nUser-Agent: UefiHttpBoot/1.0\r\n\r\n',
  post('stage/rootfs', 'memory_kib=123456\nmac=52:54:00:12:34:56\n'),
  `POST /boot/${token}/failed/rootfs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfault\r\n0\r\n\r\n`,
].map((text) => Buffer.from(text))

const TFTP_SAMPLES = [
  ...samplesIn('tftp'),
  ...['\0\x01undionly.kpxe\0octet\0', '\0\x01ipxe.efi\0octet\0tsize\x000\0blksize\x001428\0windowsize\x0016\0'].map(
    (text) => Buffer.from(text, 'latin1'),
  ),
  Buffer.from('\0\x02upload\0netascii\0', 'latin1'),
  Buffer.from('\0\x04\0\x01', 'latin1'),
]

function samplesIn(folder: string, ending = '.bin'): Buffer[] {
  const names = readdirSync(join(PACKETS, folder)).filter((name) => name.endsWith(ending))
  return names.map((name) => readFileSync(join(PACKETS, folder, name)))
}

const servers = [
  { name: 'DHCP', transport: 'udp', port: 67, samples: samplesIn('dhcp') },
  { name: 'TFTP', transport: 'udp', port: 69, samples: TFTP_SAMPLES },
  { name: 'boot HTTP', transport: 'tcp', port: 8080, samples: HTTP_SAMPLES },
  { name: 'NBD', transport: 'tcp', port: NBD_PORT, samples: samplesIn('nbd', '.client.bin') },
] as const

for (const { name, transport, port, samples } of servers)
  test(
    `${name}: malformed packets do not stop the daemon or make it grow`,
    { skip: missing('udhcpc', 'curl', 'atftp', 'nbdinfo', 'zzuf') ?? false },
    async (t) => {
      await using net = openNetPair({ clientAddress: '10.66.0.2/16' })
      const root = join(net.folder, 'daemon')
      mkdirSync(root)
      await using daemon = startDaemon(
        root,
        ['ip', 'netns', 'exec', net.serverNamespace],
        ['--interface', 's0', '--http-port', '8080', '--dhcp-range', '10.66.1.1-10.66.1.200'],
      )
      assert.ok(await daemon.isReady(), daemon.said())
      const noise = [...truncated(samples), ...zzufed(samples), ...mutated(samples)]
      // The first time brings it to its size. After that its memory goes up and down with what the collector has not looked at yet;
      // what leaks lifts the lowest that it comes to, each time.
      await send(net, transport, port, noise)
      const rounds: Probed[] = []
      const grownMb = (): number => rounds.at(-1)!.lowestMb - rounds[0]!.lowestMb
      while (rounds.length < 2 || (grownMb() >= MAX_GROWN_MB && rounds.length < MAX_ROUNDS)) {
        const stop = new AbortController()
        const probing = probe(daemon, join(root, 'api.sock'), stop.signal)
        const half = noise.length / 2
        await send(net, transport, port, rounds.length === 0 ? noise.slice(0, half) : noise.slice(half))
        stop.abort()
        rounds.push(await probing)
      }
      const grown = grownMb()
      const probes = rounds.reduce((sum, round) => sum + round.probes, 0)
      const slowestMs = Math.max(...rounds.map((round) => round.slowestMs))
      t.diagnostic(
        `${noise.length} inputs, ${grown.toFixed(1)} MB grown, slowest of ${probes} answers ${Math.round(slowestMs)} ms`,
      )
      assert.ok(grown < MAX_GROWN_MB, `${grown.toFixed(1)} MB grown`)
      await checkAnswers(t, net)
      assert.doesNotMatch(daemon.said(), /"level":50|fault while|request failed/)
    },
  )

/** Real payloads, cut at each byte. */
function truncated(samples: readonly Buffer[]): Uint8Array[] {
  return samples.flatMap((bytes) => Array.from(bytes, (_, length) => bytes.subarray(0, length)))
}

function mutated(samples: readonly Buffer[]): Uint8Array[] {
  const random = randomFrom(9)
  return Array.from({ length: MUTATIONS }, () => mutate(samples, random))
}

/** What zzuf makes of all samples, in one piece for each of its seeds. */
function zzufed(samples: readonly Buffer[]): Uint8Array[] {
  return Array.from({ length: ZZUF_SEEDS }, (_, seed) => {
    const words = ['--seed', String(seed), '--ratio', String(0.002 * (1 + (seed % 10))), 'cat']
    const { stdout, status } = spawnSync('zzuf', words, { input: Buffer.concat(samples) })
    assert.equal(status, 0)
    let at = 0
    return samples.map(({ length }) => stdout.subarray(at, (at += length)))
  }).flat()
}

async function send(net: NetPair, transport: string, port: number, noise: readonly Uint8Array[]): Promise<void> {
  const file = join(net.folder, 'noise')
  writeFileSync(file, noise.map((bytes) => Buffer.from(bytes).toString('hex')).join('\n'))
  const words = [join(import.meta.dirname, 'noise.ts'), transport, SERVER, String(port), file]
  const { status, stderr } = await net.client(process.execPath, ...words)
  assert.equal(status, 0, stderr)
}

interface Probed {
  readonly probes: number
  readonly slowestMs: number
  /** Resident memory, at its lowest. */
  readonly lowestMb: number
}

/** Asks the daemon for its health again and again. */
async function probe({ child }: Daemon, socket: string, signal: AbortSignal): Promise<Probed> {
  let [probes, slowestMs, lowestMb] = [0, 0, Infinity]
  while (!signal.aborted) {
    const startMs = performance.now()
    const answer = await ask(socket, 'GET', '/readyz')
    assert.equal(answer?.status, 200, 'no answer in the middle of noise')
    slowestMs = Math.max(slowestMs, performance.now() - startMs)
    const pages = Number(readFileSync(`/proc/${child.pid}/statm`, 'latin1').split(' ')[1])
    lowestMb = Math.min(lowestMb, (pages * 4096) / 1e6)
    probes++
    await sleep(100)
  }
  return { probes, slowestMs, lowestMb }
}

/** Each server still does its work, for clients that are not ours. */
async function checkAnswers(t: TestContext, net: NetPair): Promise<void> {
  const lease = await net.client('udhcpc', '-i', 'c0', '-n', '-q', '-f', '-t', '5', '-T', '1', '-s', '/bin/true')
  assert.match(lease.stderr, /lease of 10\.66\.1\.\d+ obtained/)
  const script = await net.client(
    'curl',
    '-sS',
    '-m',
    '10',
    `http://${SERVER}:8080/boot/waiting.ipxe?mac=52:54:00:00:00:09`,
  )
  assert.match(script.stdout, /^#!ipxe/, script.stderr)
  // No kit is there to be served: an error packet is its answer.
  const file = await net.client('atftp', '-g', '-r', 'undionly.kpxe', '-l', '/dev/null', SERVER)
  assert.match(file.stderr, /there is no such file/)
  const root = await net.client('nbdinfo', `nbd://${SERVER}:${NBD_PORT}/none`)
  assert.match(root.stderr, /No such file or directory for export: none/)
  t.diagnostic('udhcpc, curl, atftp and nbdinfo are served')
}
