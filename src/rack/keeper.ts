/**
 * The keeper: a process inside the rack's network namespace that owns everything in it. `rackUp` starts it, `rackDown` ends it;
 * when it ends, however it ends, the kernel ends QEMU and ipmi_sim (their parent-death signal) and removes the namespace with
 * its bridge and taps. It is spoken to by HTTP on `keeper.sock`:
 *
 *     GET  /                                    KeeperStatus
 *     GET  /alive                               an answer that ends when the keeper does
 *     GET  /machines/NAME/console[?from=BYTE]   upgrades to the raw serial line, both ways
 *     POST /machines/NAME/chassis               what ipmi_sim's chassis control asks, as text
 *     POST /machines/NAME/COMMAND               power-on, power-off, reset, soft-off, plug, unplug
 *     POST /machines/NAME/insert                a medium into a drive: Insertion, as JSON
 *     POST /machines/NAME/eject                 {"drive": "cd" | "usb"}
 *     POST /ensure                              starts what has died
 *     POST /shutdown
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { setPriority } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { aborted } from '../base/task.ts'
import { explain } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { type Bmc, openBmc } from './bmc.ts'
import { serveControl, type KeptMachine } from './control-server.ts'
import { probeKvm } from './kvm.ts'
import { machinePaths, rackPaths } from './layout.ts'
import { listen } from './listening.ts'
import { lineLog } from './line-log.ts'
import { createMachine } from './machine.ts'
import type { NamespaceWay } from './namespace.ts'
import { setUpNetwork } from './network.ts'
import { firmwareOrder, NETWORK, type RackSpec } from './plan.ts'
import { prepareFiles } from './machine-files.ts'
import { parseSpec } from './spec-file.ts'
import { listenForMagicPackets } from './wake.ts'

/**
 * Runs the rack until `signal` aborts or somebody asks for shutdown.
 * @param dir the rack's folder, with its `rack.json` and `bmc-password`
 * @throws whatever keeps the rack from starting; everything that was started is ended then
 */
export async function keep(dir: string, way: NamespaceWay, log: Log, signal: AbortSignal): Promise<void> {
  const { spec, password, paths } = readRack(dir)
  stepBack(log)
  const accel = await probeKvm(dirname(dir), signal)
  await using stack = new AsyncDisposableStack()
  // Its end tells `rackDown` that everything else has ended, so it is the last to go.
  let control: AsyncDisposable | undefined
  stack.defer(() => control?.[Symbol.asyncDispose]())
  await setUpNetwork(spec.machines, log)
  const kept: KeptMachine[] = []
  for (const machineSpec of spec.machines) {
    const files = machinePaths(dir, machineSpec.name)
    prepareFiles(machineSpec, files)
    const machine = createMachine(machineSpec, files, { accel, order: firmwareOrder(spec.bmc), log })
    stack.defer(() => machine.close())
    const bmc = await openBmc(machine, { keeperSocket: paths.keeperSocket, password, log })
    stack.defer(() => bmc.close())
    kept.push({ machine, bmc })
  }
  await ensure(kept.map(({ bmc }) => bmc))
  stack.use(
    await listenForMagicPackets(
      kept.map(({ machine }) => machine),
      log,
    ),
  )
  stack.use(await serveEgressInside(paths.egressSocket))
  const asked = new AbortController()
  control = await serveControl(paths.keeperSocket, kept, { way, accel }, () => asked.abort(), log)
  log.info('rack is up', { rack: spec.name, accel, way })
  await aborted(AbortSignal.any([signal, asked.signal]))
  log.info('rack goes down', { rack: spec.name })
}

/** How much less than others the machines get of a processor that all want: nice 10 is about a tenth. */
const NICENESS = 10

/**
 * Machines under software emulation take all the processors that there are; who serves and switches them must not wait for them.
 * The scheduler shares between sessions before it shares between processes (sched(7), autogroup), and this process begins one.
 */
function stepBack(log: Log): void {
  setPriority(NICENESS)
  try {
    writeFileSync('/proc/self/autogroup', String(NICENESS))
  } catch (error) {
    // A kernel without autogroups goes by the priority alone.
    log.debug('no autogroup', { why: explain(error) })
  }
}

function readRack(dir: string): { spec: RackSpec; password: string; paths: ReturnType<typeof rackPaths> } {
  const paths = rackPaths(dirname(dir), basename(dir))
  return {
    spec: parseSpec(readFileSync(paths.spec, 'utf8'), paths.spec),
    password: readFileSync(paths.password, 'utf8').trim(),
    paths,
  }
}

async function ensure(bmcs: readonly Bmc[]): Promise<void> {
  await Promise.all(bmcs.map((bmc) => bmc.powerUp()))
}

/** The egress proxy as a TCP port, for programs that are configured by `http_proxy`. Not reachable for machines. */
async function serveEgressInside(egressSocket: string): Promise<AsyncDisposable> {
  const server = createServer((inside) => {
    const outside = createConnection(egressSocket)
    inside.on('error', () => outside.destroy())
    outside.on('error', () => inside.destroy())
    inside.on('close', () => outside.destroy())
    outside.on('close', () => inside.destroy())
    inside.pipe(outside).pipe(inside)
  })
  server.maxConnections = 256
  return await listen(server, { host: '127.0.0.1', port: NETWORK.egressPort })
}

if (import.meta.main) {
  process.umask(0o077)
  const stop = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => stop.abort())
  const [dir, way] = process.argv.slice(2)
  try {
    await keep(dir!, way === 'user' ? 'user' : 'root', lineLog(), stop.signal)
  } catch (cause) {
    // What `rackUp` tells when the keeper ends before it answers.
    writeFileSync(join(dir!, 'keeper.failure'), explain(cause), { mode: 0o600 })
    process.exitCode = 1
  }
}
