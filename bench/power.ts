/**
 * Power of 1,000 simulated BMCs: status, on and off, ours against freeipmi's `ipmipower` and a loop of `ipmitool`, in turns in one run. Ours and
 * theirs are in one network namespace, the BMCs (bench/bmc-farm.ts) in another, each with its own address; cipher suite 17.
 *
 *     node bench/power.ts [--bmcs 1000] [--rounds 5] [--loops 1] [--loop-over BMCS]
 *
 * - `bareboat` is a running process that logs in to every BMC anew and out again, 256 sessions at once, as the daemon does.
 *   An on or off is read before, sent, and read back.
 * - `ipmipower` is one process for all; `--wait-until-on` and `--wait-until-off` are what reads back. `--on` alone does less than we do.
 * - `ipmitool` is a loop of processes, one after the other; `power on` reads nothing back. `--loop-over 100` lets it ask so many, counts its
 *   time for all, and says so.
 * - `machine power` is the command line and the daemon: 64 requests at once, an intent of each on disk before it is sent.
 *   No consoles are recorded.
 *
 * After each the BMCs themselves say how many machines are on. Prints medians with processor time, and what ours holds: memory and descriptors.
 * Exits 1 when ipmipower ÷ ours is below 1 (all three, with the reading back), ipmitool ÷ ours below 20, ours or the daemon has had
 * more than 200 MB, or a descriptor is left open. Needs root, ip, ipmipower, ipmitool and GNU time.
 */
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { LAUNCHER_OPTIONS, SELF } from '../src/cli/demo/place.ts'
import { ask as askApi, startDaemon } from '../test/peers/durable-daemon.ts'
import { missing } from '../test/peers/net-pair.ts'
import { ask, openFarm, PASSWORD, startIn, USER } from './bmc-farm.ts'
import { cpuMsOf, descriptorsOf, median, peakMemoryMB, timed, type Took } from './measure.ts'
import type { Done } from './power-ours.ts'

const { values } = parseArgs({
  options: {
    bmcs: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '5' },
    loops: { type: 'string', default: '1' },
    'loop-over': { type: 'string' },
  },
})
const WHATS = ['status', 'on', 'off'] as const
type What = (typeof WHATS)[number]
const GOALS = { ipmipower: 1, ipmitool: 20, memoryMB: 200 }

interface Contestant {
  readonly name: string
  readonly rounds: number
  run(what: What): Promise<Took>
}

const skip = missing('ipmipower', 'ipmitool', 'time')
if (skip !== undefined) throw new Error(skip)
const count = Number(values.bmcs)
const rounds = Number(values.rounds)
await using farm = await openFarm(count)
const { net, hosts } = farm
// As the launcher does.
process.env['MALLOC_MMAP_THRESHOLD_'] = '131072'
const ours = startIn(net.clientNamespace, [...LAUNCHER_OPTIONS, join(import.meta.dirname, 'power-ours.ts')])
await using daemon = startDaemon(
  net.folder,
  ['ip', 'netns', 'exec', net.clientNamespace],
  ['--console-record', 'containers'],
)
if (!(await daemon.isReady())) throw new Error(daemon.said())
const names = await addMachines()
const daemonPid = daemon.child.pid!
const daemonStart = { descriptors: descriptorsOf(daemonPid), memoryMB: peakMemoryMB(daemonPid) }
const held: Done[] = []

const contestants: readonly Contestant[] = [
  {
    name: 'bareboat',
    rounds,
    async run(what) {
      const done = await ask<Done>(ours, { what, hosts })
      held.push(done)
      return { ms: done.ms, cpuMs: done.userMs + done.systemMs }
    },
  },
  { name: 'bareboat machine power', rounds, run: machinePower },
  { name: 'ipmipower', rounds, run: (what) => ipmipower(what === 'status' ? ['--stat'] : [`--${what}`]) },
  {
    name: 'ipmipower, read back',
    rounds,
    run: (what) => ipmipower(what === 'status' ? ['--stat'] : [`--${what}`, `--wait-until-${what}`]),
  },
  { name: 'loop of ipmitool', rounds: Number(values.loops), run: ipmitool },
]

const failures: string[] = []
const figures = new Map(contestants.map(({ name }) => [name, { status: [], on: [], off: [] } as Record<What, Took[]>]))
// The first round warms all up and is not counted.
for (let round = 0; round <= rounds; round++) {
  for (const contestant of round % 2 ? contestants : contestants.toReversed()) {
    if (round > contestant.rounds || (round === 0 && contestant.run === ipmitool)) continue
    for (const what of WHATS) {
      const took = await judged(contestant, what)
      process.stderr.write(`round ${round}: ${contestant.name}, ${what}: ${took ? seconds(took.ms) : 'failed'}\n`)
      if (took && round > 0) figures.get(contestant.name)![what].push(took)
    }
  }
}
await report()
ours.disconnect()

/** Undefined when a peer did not reach all BMCs: on a host that is too busy ipmipower gives some up. Ours has to. */
async function judged(contestant: Contestant, what: What): Promise<Took | undefined> {
  let took: Took | undefined
  try {
    took = await contestant.run(what)
  } catch (error) {
    if (contestant.name.startsWith('bareboat')) throw error
    failures.push(`${contestant.name}, ${what}: ${String(error)}`)
    await ask<Done>(ours, { what, hosts })
  }
  const { on, commands } = await farm.state()
  if (on !== (what === 'on' ? count : 0) || commands < (what === 'status' ? 0 : count))
    throw new Error(`${contestant.name}: after "${what}" ${on} are on, ${commands} commands were taken`)
  return took
}

async function report(): Promise<void> {
  console.log(
    `${count} BMCs, ${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}, medians of ${rounds} rounds in turns, loops of ipmitool: ${values.loops} over ${values['loop-over'] ?? count}`,
  )
  const of = (name: string, what: What, of: keyof Took) => median(figures.get(name)![what].map((took) => took[of]))
  console.log(
    `\n${'seconds, processor seconds, ÷ bareboat'.padEnd(40)}${WHATS.map((what) => what.padEnd(24)).join('')}`,
  )
  for (const { name } of contestants) {
    const cells = WHATS.map((what) => {
      const [ms, cpuMs] = [of(name, what, 'ms'), of(name, what, 'cpuMs')]
      return `${seconds(ms)} ${seconds(cpuMs)} ${(ms / of('bareboat', what, 'ms')).toFixed(2).padStart(6)} ×`.padEnd(24)
    })
    console.log(`${name.padEnd(40)}${cells.join('')}`)
  }
  for (const failure of failures) console.log(`not counted: ${failure}`)
  const isLeft = held.some(({ descriptorsBefore, descriptorsAfter }) => descriptorsBefore !== descriptorsAfter)
  const memoryMB = Math.max(...held.map(({ peakRssMB }) => peakRssMB))
  // Its sessions are closed after 10 s without a command, connections of the API after 5 s.
  await new Promise((resolve) => setTimeout(resolve, 15_000))
  const end = { descriptors: descriptorsOf(daemonPid), memoryMB: peakMemoryMB(daemonPid) }
  console.log(
    `\nbareboat: ${memoryMB.toFixed(0)} MB at most; descriptors ${held[0]!.descriptorsBefore} before, ${held.at(-1)!.descriptorsAfter} after`,
  )
  console.log(
    `daemon: ${end.memoryMB.toFixed(0)} MB at most, ${daemonStart.memoryMB.toFixed(0)} MB before; descriptors ${daemonStart.descriptors} before, ${end.descriptors} after`,
  )
  const missed = [
    ...WHATS.filter((what) => of('ipmipower, read back', what, 'ms') < of('bareboat', what, 'ms') * GOALS.ipmipower),
    ...WHATS.filter(
      (what) =>
        Number(values.loops) > 0 && of('loop of ipmitool', what, 'ms') < of('bareboat', what, 'ms') * GOALS.ipmitool,
    ),
    ...(Math.max(memoryMB, end.memoryMB) > GOALS.memoryMB ? ['memory'] : []),
    ...(isLeft || end.descriptors > daemonStart.descriptors ? ['descriptors'] : []),
  ]
  console.log(missed.length === 0 ? 'all goals are met' : `missed: ${missed.join(', ')}`)
  process.exitCode = missed.length === 0 ? 0 : 1
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(2).padStart(6)
}

async function addMachines(): Promise<string[]> {
  const socket = join(net.folder, 'api.sock')
  const names = hosts.map((_, n) => `m${n}`)
  const todo = hosts.entries()
  const worker = async () => {
    for (const [n, host] of todo) {
      const [high, low] = [n >> 8, n & 255].map((byte) => byte.toString(16).padStart(2, '0'))
      const machine = { name: names[n], macs: [`52:54:00:00:${high}:${low}`], bmc: `ipmi://${USER}@${host}` }
      const added = await askApi(socket, 'POST', '/v1/machines', { ...machine, bmcPassword: PASSWORD })
      if (added?.status !== 201) throw new Error(`machine ${names[n]}: ${added?.text}`)
    }
  }
  await Promise.all(Array.from({ length: 16 }, worker))
  return names
}

/** Processor time is the daemon's and the command line's. */
async function machinePower(what: What): Promise<Took> {
  const cpuMs = cpuMsOf(daemonPid)
  const socket = join(net.folder, 'api.sock')
  const took = await lines([...SELF, '--host', `unix://${socket}`, 'machine', 'power', what, ...names])
  return { ms: took.ms, cpuMs: took.cpuMs + cpuMsOf(daemonPid) - cpuMs }
}

function ipmipower(args: readonly string[]): Promise<Took> {
  const login = ['-D', 'LAN_2_0', '-I', '17', '-u', USER, '-p', PASSWORD, '-h', hosts.join(',')]
  return lines(['ip', 'netns', 'exec', net.clientNamespace, 'ipmipower', ...login, ...args])
}

async function ipmitool(what: What): Promise<Took> {
  const list = join(net.folder, 'hosts')
  const asked = hosts.slice(0, Number(values['loop-over'] ?? count))
  writeFileSync(list, asked.map((host) => `${host}\n`).join(''))
  const one = `ipmitool -I lanplus -C 17 -H $host -U ${USER} -P ${PASSWORD} power ${what} </dev/null || exit 1`
  const loop = `while read host; do ${one}; done <${list}`
  const took = await lines(['ip', 'netns', 'exec', net.clientNamespace, 'sh', '-c', loop], asked.length)
  if (asked.length < count) await ask<Done>(ours, { what, hosts: hosts.slice(asked.length) })
  const share = asked.length / count
  return { ms: took.ms / share, cpuMs: took.cpuMs / share }
}

/** It has to say a line for each BMC. */
async function lines(words: readonly string[], wanted = count): Promise<Took> {
  const took = await timed(net.folder, words)
  const said = took.stdout.trim().split('\n').length
  if (said !== wanted) throw new Error(`it said ${said} lines`)
  return took
}
