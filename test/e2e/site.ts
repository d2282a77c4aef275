/**
 * A whole site for the tests of one file: a rack of machines (one with BIOS and one with UEFI, unless others are asked for), a
 * server in its network, a registry on the host, and the command line as a person types it. It goes with the process of the test,
 * however that ends.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { spawn, spawnSync } from 'node:child_process'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { poll } from '../../src/base/clock.ts'
import { addMachines, serverFlags } from '../../src/cli/demo/demo.ts'
import type { DemoPlace } from '../../src/cli/demo/place.ts'
import { startServer, type ServerProcess } from '../../src/cli/demo/server.ts'
import { createClient, type Client } from '../../src/client/client.ts'
import type { Container } from '../../src/model/container.ts'
import type { BmcKind, Firmware } from '../../src/rack/plan.ts'
import { OVMF } from '../../src/rack/qemu-line.ts'
import type { RackInfo, RackMachine } from '../../src/rack/info.ts'
import {
  rackDown,
  rackInfo,
  rackPlug,
  rackPress,
  rackUnplug,
  rackUp,
  type RackButton,
  type RackPlace,
} from '../../src/rack/rack.ts'
import { buildGuestKit, KIT_DIR } from '../fakes/guest-kit.ts'
import { startRegistry, type RunningRegistry } from '../peers/docker-registry.ts'
import { startCommand, type CommandOptions, type Ran, type Running } from './command-line.ts'

const PROGRAMS =
  'qemu-system-x86_64 ipmi_sim ip nsenter unshare setpriv docker-registry skopeo umoci busybox script apt-get mmdebstrap'.split(
    ' ',
  )
const missing = PROGRAMS.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0)
if (!existsSync(OVMF.uefi.code)) missing.push(OVMF.uefi.package)
/** For `suite`: false when all is there, else what is missing. */
export const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : false

/** A machine of each kind; what works on one has to work on the other. */
export const FIRMWARES = [
  { firmware: 'BIOS', machine: 'rack-1' },
  { firmware: 'UEFI', machine: 'rack-2' },
] as const

export interface SiteOptions {
  /** Letters and digits; names the rack. */
  readonly name: string
  /** Of its machines; default: one of each of FIRMWARES. */
  readonly firmware?: readonly Firmware[]
  readonly memoryMiB?: number
  /** Size of an empty disk in each machine. Default: none. */
  readonly diskMiB?: number
  /** By which of its BMCs a machine is known; default IPMI. */
  readonly bmc?: BmcKind
  /** Of the server, beside those that it needs here. */
  readonly flags?: readonly string[]
  /** Do not make the machines known to the server. */
  readonly isEmpty?: boolean
}

export interface Site extends AsyncDisposable {
  readonly rack: RackInfo
  readonly client: Client
  /** `127.0.0.1:PORT` of the registry, as in references. */
  readonly registry: string
  /** A folder for the files of tests; it goes with the site. */
  readonly dir: string
  readonly serverLog: string
  /** Runs `bareboat ARGV` to its end. */
  run(argv: readonly string[], options?: CommandOptions): Promise<Ran>
  /** The same, and it must exit 0. @returns what it printed on stdout, without the last newline */
  ok(argv: readonly string[], options?: CommandOptions): Promise<string>
  start(argv: readonly string[], options?: CommandOptions): Running
  inspect(container: string): Promise<Container>
  /** Waits until a container is in a state, or one of several. @throws with the container when it does not come to that */
  untilState(container: string, states: string | readonly string[], deadlineMs?: number): Promise<Container>
  /** Waits until systemd says that all has started. A machine that is slow has no bus to ask at first. @throws with what has failed */
  untilSystemRuns(container: string): Promise<void>
  machine(name: string): Promise<RackMachine>
  /** The commands that changed the power of a machine, as its BMC noted them: `ipmi power-on`. */
  powerCommands(machine: string): string[]
  /** Kills the server without a word, and starts one on the same data. */
  killServer(): void
  restartServer(): Promise<void>
  /** Ends the server in good order. */
  endServer(): Promise<void>
  /** Takes mains power from a machine and its BMC, or gives it back. */
  plug(machine: string, isPlugged: boolean): Promise<void>
  /** Presses a button of a machine. */
  press(machine: string, button: RackButton): Promise<void>
}

/** @throws {AppError} whatever could not be set up; what was set up before is gone then */
export async function openSite({
  name,
  firmware = ['bios', 'uefi'],
  memoryMiB = 1024,
  diskMiB = 0,
  bmc = 'ipmi',
  flags: more = [],
  isEmpty = false,
}: SiteOptions): Promise<Site> {
  await using stack = new AsyncDisposableStack()
  const dir = mkdtempSync(join(tmpdir(), `bareboat-e2e-${name}-`))
  stack.defer(() => rmSync(dir, { recursive: true, force: true }))
  const place: DemoPlace = {
    dir,
    dataDir: join(dir, 'data'),
    rackDir: join(dir, 'rack'),
    socket: join(dir, 'api.sock'),
    serverLog: join(dir, 'server.log'),
    pidFile: join(dir, 'server.pid'),
    kitDir: KIT_DIR,
  }
  const rackPlace: RackPlace = { stateDir: place.rackDir, name }
  await buildGuestKit()
  const registry = stack.use(await startRegistry())
  stack.use(hireUndertaker(rackPlace, dir, registry))
  const rack = await rackUp({ ...rackPlace, firmware, memoryMiB, diskMiB, bmc })
  stack.defer(async () => void (await rackDown(rackPlace)))
  let server: ServerProcess | undefined
  stack.defer(() => server?.end())
  const never = new AbortController().signal
  const startOne = async (): Promise<void> => {
    const flags = [...serverFlags(rack), '--plain-http-registries', registry.host, '--log-level', 'debug', ...more]
    server = await startServer(place, flags, rackPlace, {}, never)
  }
  await startOne()
  const client = createClient({ kind: 'unix', path: place.socket })
  if (!isEmpty) await addMachines(client, rack, never)
  const env = { BAREBOAT_HOST: `unix://${place.socket}` }
  const start = (argv: readonly string[], options: CommandOptions = {}): Running =>
    startCommand(argv, { ...options, env: { ...env, ...options.env } })
  const run = (argv: readonly string[], options?: CommandOptions): Promise<Ran> => start(argv, options).done
  const machineOf = async (machine: string): Promise<RackMachine> =>
    (await rackInfo(rackPlace)).machines.find((one) => one.name === machine)!
  const held = stack.move()
  return {
    rack,
    client,
    registry: registry.host,
    dir,
    serverLog: place.serverLog,
    start,
    run,
    async ok(argv, options) {
      const { code, stdout, stderr } = await run(argv, options)
      if (code !== 0) throw new Error(`bareboat ${argv.join(' ')}: exit code ${code}: ${stdout}${stderr}`)
      return stdout.replace(/\n$/, '')
    },
    inspect: (container) => client.containers.inspect(container),
    async untilState(container, states, deadlineMs = 300_000) {
      const wanted = [states].flat() as string[]
      let last: Container | undefined
      const found = await poll(
        async () => {
          last = await client.containers.inspect(container)
          return wanted.includes(last.state) || last.state === 'failed' ? last : undefined
        },
        { everyMs: 50, deadlineMs },
      )
      if (found && wanted.includes(found.state)) return found
      throw new Error(
        `container ${container} is not ${wanted.join(' or ')} in ${deadlineMs} ms: ${JSON.stringify(last)}`,
      )
    },
    async untilSystemRuns(container) {
      const ask = async () => (await run(['exec', container, 'systemctl', 'is-system-running', '--wait'])).stdout
      const isUp = await poll(async () => (await ask()) === 'running\n' || undefined, {
        everyMs: 1000,
        deadlineMs: 400_000,
      })
      if (isUp) return
      const { stdout } = await run(['exec', container, 'systemctl', '--failed', '--no-legend'])
      throw new Error(`the system of ${container} is "${(await ask()).trim()}": ${stdout}`)
    },
    machine: machineOf,
    powerCommands(machine) {
      const { chassisLog } = rack.machines.find((one) => one.name === machine)!
      if (!existsSync(chassisLog)) return []
      const lines = readFileSync(chassisLog, 'utf8').trimEnd().split('\n')
      return lines.map((line) => line.split(' ').slice(1).join(' ')).filter((line) => line !== '')
    },
    killServer() {
      process.kill(server!.pid, 'SIGKILL')
    },
    restartServer: startOne,
    endServer: async () => server?.end(),
    press: (machine, button) => rackPress(rackPlace, machine, button),
    plug: (machine, isPlugged) => (isPlugged ? rackPlug : rackUnplug)(rackPlace, machine),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** @returns what lets it go to work */
function hireUndertaker(rack: RackPlace, dir: string, registry: RunningRegistry): Disposable {
  const argv = [join(import.meta.dirname, 'undertaker.ts'), rack.stateDir, rack.name!, dir]
  const child = spawn(process.execPath, [...argv, String(registry.pid), registry.directory], {
    stdio: ['pipe', 'ignore', 'ignore'],
    // Out of our process group, which an interrupt goes to.
    detached: true,
  })
  child.unref()
  const { stdin } = child
  if (stdin instanceof Socket) stdin.unref()
  return { [Symbol.dispose]: () => void stdin.end() }
}
