/**
 * Looking for BMCs: 4,096 addresses of which 1,000 have a simulated BMC (IPMI and Redfish over TLS, bench/bmc-farm.ts) and the others are silent,
 * behind a router. `bareboat discover scan`, command line and daemon, against `nmap` with the same two ports, in turns in one run.
 *
 *     node bench/scan.ts [--bmcs 1000] [--rounds 3] [--concurrency 256]
 *
 * - Ours asks each address by RMCP ping, Get Channel Authentication Capabilities and the cipher suites, and where TCP 443 is open reads the
 *   Redfish root and the certificate. What is found is kept in the database. A silent address costs 2 s of one of the connections.
 * - `nmap -sU -sS -p U:623,T:443` sends an IPMI question of its own to port 623 and finds out which of the two are open. It reads neither
 *   Redfish nor certificates; with `--script ssl-cert,ipmi-version`, which do, it does not end within 10 minutes.
 *
 * Prints medians, rates, processor time, and memory and descriptors of the daemon. Exits 1 when one of ours does not find all, when
 * nmap ÷ ours is below 1, or the daemon has had more than 200 MB or left a descriptor open. Needs root, ip, nmap and GNU time.
 */
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { SELF } from '../src/cli/demo/place.ts'
import { startDaemon } from '../test/peers/durable-daemon.ts'
import { missing } from '../test/peers/net-pair.ts'
import { NETWORK, openFarm } from './bmc-farm.ts'
import { cpuMsOf, descriptorsOf, median, peakMemoryMB, timed, type Took } from './measure.ts'

const { values } = parseArgs({
  options: {
    bmcs: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '3' },
    concurrency: { type: 'string', default: '256' },
  },
})
const ADDRESSES = 4096
const MAX_MEMORY_MB = 200

const skip = missing('nmap', 'time')
if (skip !== undefined) throw new Error(skip)
const count = Number(values.bmcs)
const rounds = Number(values.rounds)
await using farm = await openFarm(count, { hasRedfish: true })
const { net } = farm
await using daemon = startDaemon(net.folder, ['ip', 'netns', 'exec', net.clientNamespace])
if (!(await daemon.isReady())) throw new Error(daemon.said())
const pid = daemon.child.pid!
const before = { descriptors: descriptorsOf(pid), memoryMB: peakMemoryMB(pid) }

const contestants: readonly { readonly name: string; run(): Promise<Took> }[] = [
  { name: 'bareboat discover scan', run: ours },
  { name: 'nmap', run: nmap },
]
/** Of each round of ours: BMCs, and those of them that were found by both protocols. */
const found: (readonly [all: number, both: number])[] = []
const figures = new Map(contestants.map(({ name }) => [name, [] as Took[]]))
for (let round = 0; round < rounds; round++)
  for (const { name, run } of round % 2 ? contestants.toReversed() : contestants) {
    const took = await run()
    figures.get(name)!.push(took)
    process.stderr.write(`round ${round}: ${name}: ${(took.ms / 1000).toFixed(1)} s\n`)
  }

console.log(
  `${ADDRESSES} addresses with ${count} BMCs, ${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}, medians of ${rounds} rounds in turns`,
)
const of = (name: string, what: keyof Took) => median(figures.get(name)!.map((took) => took[what]))
for (const { name } of contestants) {
  const [ms, cpuMs] = [of(name, 'ms'), of(name, 'cpuMs')]
  const ratio = ms / of('bareboat discover scan', 'ms')
  console.log(
    `${name.padEnd(26)} ${(ms / 1000).toFixed(1).padStart(6)} s ${((ADDRESSES * 1000) / ms).toFixed(0).padStart(6)} addresses/s ${(cpuMs / 1000).toFixed(1).padStart(6)} s of processor ${ratio.toFixed(2)} ×`,
  )
}
// Connections of the API are closed after 5 s.
await new Promise((resolve) => setTimeout(resolve, 10_000))
const after = { descriptors: descriptorsOf(pid), memoryMB: peakMemoryMB(pid) }
console.log(
  `daemon: ${after.memoryMB.toFixed(0)} MB at most, ${before.memoryMB.toFixed(0)} MB before; descriptors ${before.descriptors} before, ${after.descriptors} after`,
)
console.log(`found by ours: ${found.map(([all, both]) => `${all}, by both protocols ${both}`).join('; ')}`)
const missed = [
  ...(found.some(([all]) => all !== count) ? ['BMCs'] : []),
  ...(of('nmap', 'ms') < of('bareboat discover scan', 'ms') ? ['time'] : []),
  ...(after.memoryMB > MAX_MEMORY_MB ? ['memory'] : []),
  ...(after.descriptors > before.descriptors ? ['descriptors'] : []),
]
console.log(missed.length === 0 ? 'all goals are met' : `missed: ${missed.join(', ')}`)
process.exitCode = missed.length === 0 ? 0 : 1

async function ours(): Promise<Took> {
  const cpuMs = cpuMsOf(pid)
  const scan = ['discover', 'scan', NETWORK.range, '--concurrency', values.concurrency, '--json']
  const took = await timed(net.folder, [...SELF, '--host', `unix://${join(net.folder, 'api.sock')}`, ...scan])
  const list = JSON.parse(took.stdout) as { redfish?: unknown; ipmi?: unknown }[]
  const both = list.filter(({ redfish, ipmi }) => redfish !== undefined && ipmi !== undefined).length
  found.push([list.length, both])
  return { ms: took.ms, cpuMs: took.cpuMs + cpuMsOf(pid) - cpuMs }
}

async function nmap(): Promise<Took> {
  const words = ['nmap', '-n', '-Pn', '-T4', '--max-retries', '2', '-sU', '-sS', '-p', 'U:623,T:443', '--open']
  const took = await timed(net.folder, [
    ...['ip', 'netns', 'exec', net.clientNamespace, ...words, '-oG', '-', NETWORK.cidr],
  ])
  const open = [...took.stdout.matchAll(/443\/open\/tcp/g)].length
  if (open < count * 0.99) throw new Error(`nmap found ${open} of ${count} BMCs`)
  return took
}
