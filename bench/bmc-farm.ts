/**
 * Simulated BMCs for bench/power.ts and bench/scan.ts, each with an address of its own in a network namespace: IPMI on port 623, and for
 * scans a Redfish root over TLS on port 443. They are processes of their own, so that their processor time is nobody else's.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { join } from 'node:path'
import { startBmcSim, type BmcSim } from '../test/fakes/bmc-sim.ts'
import { openNetPair, type NetPair } from '../test/peers/net-pair.ts'
import { selfSigned } from '../test/fakes/self-signed.ts'

export const USER = 'admin'
export const PASSWORD = 'secret'
/** As many processes as keep up with any of the peers. */
const PROCESSES = 2
/** The network of the BMCs: 4,096 addresses behind a router, of which those without a BMC are silent. */
export const NETWORK = { range: '10.67.0.0-10.67.15.255', cidr: '10.67.0.0/20' }

export interface FarmState {
  readonly on: number
  /** Power commands that were taken since the last question. */
  readonly commands: number
  readonly sessions: number
}

export interface Farm extends AsyncDisposable {
  readonly net: NetPair
  readonly hosts: readonly string[]
  state(): Promise<FarmState>
}

/** Every fourth address has a BMC; all machines are off. */
export async function openFarm(count: number, { hasRedfish = false } = {}): Promise<Farm> {
  await using stack = new AsyncDisposableStack()
  const net = stack.use(openNetPair({ address: '10.66.0.1/16', clientAddress: '10.66.0.2/16' }))
  const hosts = Array.from({ length: count }, (_, n) => `10.67.${(n * 4 + 1) >> 8}.${(n * 4 + 1) & 255}`)
  await must(net.client('ip', 'route', 'add', NETWORK.cidr, 'via', '10.66.0.1'))
  await must(net.beside('ip', 'route', 'add', 'blackhole', NETWORK.cidr))
  const routes = join(net.folder, 'routes')
  writeFileSync(routes, hosts.map((host) => `route add local ${host}/32 dev lo\n`).join(''))
  await must(net.beside('ip', '-batch', routes))
  const children: ChildProcess[] = []
  stack.defer(() => children.forEach((child) => child.connected && child.disconnect()))
  for (let n = 0; n < PROCESSES; n++) {
    const share = hosts.filter((_, at) => at % PROCESSES === n)
    const flags = hasRedfish && n === 0 ? ['--redfish'] : []
    children.push(startIn(net.serverNamespace, [import.meta.filename, '--farm', ...flags]))
    await ask<void>(children.at(-1)!, { open: share })
  }
  const held = stack.move()
  return {
    net,
    hosts,
    async state() {
      const states = await Promise.all(children.map((child) => ask<FarmState>(child, {})))
      return states.reduce((sum, one) => ({
        on: sum.on + one.on,
        commands: sum.commands + one.commands,
        sessions: sum.sessions + one.sessions,
      }))
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** A Node process in a network namespace, with a channel to it. */
export function startIn(namespace: string, args: readonly string[]): ChildProcess {
  return spawn('ip', ['netns', 'exec', namespace, process.execPath, ...process.execArgv, ...args], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
}

/** One message to a child, and its answer. */
export function ask<T>(child: ChildProcess, question: object): Promise<T> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`a process of the bench ended with ${code}`))
    child.once('exit', onExit)
    child.once('message', (answer) => {
      child.off('exit', onExit)
      resolve(answer as T)
    })
    child.send(question)
  })
}

async function must(ran: ReturnType<NetPair['client']>): Promise<void> {
  const { status, stderr } = await ran
  if (status !== 0) throw new Error(stderr)
}

function farm(): void {
  const sims: BmcSim[] = []
  process.on('message', (question: { open?: readonly string[] }) => {
    void (async () => {
      for (const host of question.open ?? [])
        sims.push(await startBmcSim({ host, port: 623, user: USER, password: PASSWORD, maxSessions: 64 }))
      const commands = sims.reduce((sum, sim) => sum + sim.trace.splice(0).length, 0)
      const sessions = sims.reduce((sum, sim) => sum + sim.sessions, 0)
      process.send!({ on: sims.filter((sim) => sim.isOn).length, commands, sessions } satisfies FarmState)
    })()
  })
  // It goes when the parent does.
  process.on('disconnect', () => process.exit())
}

function redfish(): void {
  const root = JSON.stringify({ '@odata.id': '/redfish/v1/', RedfishVersion: '1.15.0', Vendor: 'Bench' })
  createServer(selfSigned(), (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(root)
  }).listen(443, '0.0.0.0')
}

if (process.argv.includes('--farm')) {
  farm()
  if (process.argv.includes('--redfish')) redfish()
}
