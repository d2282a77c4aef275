/**
 * Power status of 200 BMCs, ours and freeipmi's `ipmipower --stat`, in turns against the same simulated BMCs (two processes of
 * test/fakes/bmc-sim.ts on loopback, cipher suite 17 unless `--suite 3`).
 *
 * ipmipower is a process for each question, as other systems run it. We are a daemon: the judged figure is a running process that logs
 * in to every BMC anew, asks, and logs out. Beside it stand the same with sessions that are still open, and a process started for it.
 * `node bench/ipmi.ts [--bmcs 200] [--suite 17] [--rounds 9]`; prints medians and ipmipower ÷ ours; exits 1 below 1.
 */
import { fork, spawn, type ChildProcess } from 'node:child_process'
import { parseArgs } from 'node:util'
import { quietLog } from '../src/base/log.ts'
import { createIpmiBmc } from '../src/drivers/bmc/ipmi/ipmi-bmc.ts'
import type { BmcPort } from '../src/services/power/power-port.ts'
import { CIPHER_SUITES } from '../src/wire/ipmi/cipher-suites.ts'
import { startBmcSim } from '../test/fakes/bmc-sim.ts'

const { values } = parseArgs({
  options: {
    bmcs: { type: 'string', default: '200' },
    suite: { type: 'string', default: '17' },
    rounds: { type: 'string', default: '9' },
    farm: { type: 'boolean', default: false },
    ask: { type: 'string' },
    daemon: { type: 'boolean', default: false },
  },
})
const suite = values.suite === '3' ? CIPHER_SUITES[3].id : CIPHER_SUITES[17].id
const FARMS = 2

if (values.farm) await farm(Number(values.bmcs))
else if (values.daemon) daemon()
else if (values.ask !== undefined) await ask(values.ask.split(',').map(Number))
else await compare(Number(values.bmcs), Number(values.rounds))

/** Simulated BMCs, every second of them on, until the parent goes away. */
async function farm(count: number): Promise<void> {
  const ports: number[] = []
  for (let i = 0; i < count; i++)
    ports.push((await startBmcSim({ cipherSuites: [suite], maxSessions: 64, isOn: i % 2 === 0 })).port)
  process.send!(ports)
  process.on('disconnect', () => process.exit())
}

/** Answers `{ ports }` with the milliseconds of a round with new sessions (logout included) and of one with open sessions. */
function daemon(): void {
  process.on('message', (ports: number[]) => {
    void (async () => {
      const startMs = performance.now()
      const bmcs = ports.map(open)
      const states = await Promise.all(bmcs.map((bmc) => bmc.status()))
      const askedMs = performance.now()
      await Promise.all(bmcs.map((bmc) => bmc.status()))
      const againMs = performance.now()
      await Promise.all(bmcs.map((bmc) => bmc[Symbol.asyncDispose]()))
      const closedMs = performance.now()
      const isRight = states.filter((state) => state === 'on').length === ports.length / 2
      process.send!({ coldMs: askedMs - startMs + closedMs - againMs, warmMs: againMs - askedMs, isRight })
    })()
  })
  process.on('disconnect', () => process.exit())
}

/** One question to each BMC, all at once; prints how many are on and off. */
async function ask(ports: readonly number[]): Promise<void> {
  const states = await Promise.all(
    ports.map(async (port) => {
      await using bmc = open(port)
      return await bmc.status()
    }),
  )
  console.log(`${states.filter((s) => s === 'on').length} on, ${states.filter((s) => s === 'off').length} off`)
}

function open(port: number): BmcPort {
  return createIpmiBmc({
    host: '127.0.0.1',
    port,
    user: 'admin',
    password: 'secret',
    log: quietLog,
    cipherSuites: [suite],
  })
}

async function compare(count: number, rounds: number): Promise<void> {
  const farms: ChildProcess[] = []
  const ports: number[] = []
  for (let i = 0; i < FARMS; i++) {
    const child = fork(import.meta.filename, ['--farm', '--bmcs', String(count / FARMS), '--suite', String(suite)])
    farms.push(child)
    ports.push(...(await message<number[]>(child)))
  }
  const ours = fork(import.meta.filename, ['--daemon', '--suite', String(suite)])
  const hosts = ports.map((port) => `127.0.0.1:${port}`).join(',')
  const theirArgs = ['-D', 'LAN_2_0', '-I', String(suite), '-u', 'admin', '-p', 'secret', '-h', hosts, '--stat']
  const ourArgs = [import.meta.filename, '--ask', ports.join(','), '--suite', String(suite)]
  const half = count / 2
  const figures = { cold: [] as number[], warm: [] as number[], start: [] as number[], ipmipower: [] as number[] }
  // The first round warms both sides' code and the simulated BMCs up and is not counted.
  for (let round = 0; round <= rounds; round++) {
    const theirs = await timed(
      'ipmipower',
      theirArgs,
      (out) => occurrences(out, /: on$/gm) === half && occurrences(out, /: off$/gm) === half,
    )
    ours.send(ports)
    const { coldMs, warmMs, isRight } = await message<{ coldMs: number; warmMs: number; isRight: boolean }>(ours)
    if (!isRight) throw new Error('bareboat did not see all BMCs')
    const started = await timed(process.execPath, ourArgs, (out) => out.trim() === `${half} on, ${half} off`)
    if (round === 0) continue
    figures.ipmipower.push(theirs)
    figures.cold.push(coldMs)
    figures.warm.push(warmMs)
    figures.start.push(started)
  }
  for (const child of [...farms, ours]) child.disconnect()
  const their = median(figures.ipmipower)
  const line = (name: string, all: readonly number[]) =>
    console.log(
      `${name.padEnd(36)} ${median(all).toFixed(0).padStart(4)} ms  ${(their / median(all)).toFixed(2)} ×  (${all.map((ms) => ms.toFixed(0)).join(' ')})`,
    )
  console.log(`power status of ${count} BMCs, cipher suite ${suite}, medians of ${rounds} rounds, in turns`)
  line('ipmipower --stat', figures.ipmipower)
  line('bareboat, running, new sessions', figures.cold)
  line('bareboat, running, open sessions', figures.warm)
  line('bareboat, a process for one round', figures.start)
  process.exitCode = their >= median(figures.cold) ? 0 : 1
}

function message<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve) => child.once('message', (value) => resolve(value as T)))
}

async function timed(program: string, args: readonly string[], isRight: (out: string) => boolean): Promise<number> {
  const startMs = performance.now()
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', (bytes: Buffer) => (out += bytes.toString()))
  await new Promise((resolve) => child.once('close', resolve))
  const tookMs = performance.now() - startMs
  if (!isRight(out)) throw new Error(`${program} did not see all BMCs: ${out.slice(0, 500)}`)
  return tookMs
}

function occurrences(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].length
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}
