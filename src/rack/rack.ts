/**
 * A rack: virtual machines that QEMU plays, each with its own BMCs, in a network of their own that nothing leaves. A lab for a
 * user, the test bench for us. keeper.ts says how it lives, layout.ts where it keeps what, plan.ts what it is made of.
 */
import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import { constants } from 'node:os'
import { join, resolve } from 'node:path'
import type { Duplex } from 'node:stream'
import { poll } from '../base/clock.ts'
import { AppError, systemCode } from '../base/errors.ts'
import type { KeeperStatus, MachineStatus } from './control-server.ts'
import { ask, askConsole, askStatus } from './keeper-client.ts'
import { machinePaths, rackPaths, type RackPaths } from './layout.ts'
import { lockRack } from './lock.ts'
import { detectNamespaceWay, inNamespaceOf, inNewNamespace } from './namespace.ts'
import {
  type BmcKind,
  checkRackName,
  differences,
  type MachineSpec,
  NETWORK,
  planRack,
  type RackOptions,
  type RackSpec,
  tapName,
} from './plan.ts'
import { endProcesses, markedEnvironment } from './processes.ts'
import { checkPrograms } from './programs.ts'
import { parseSpec, serializeSpec } from './spec-file.ts'

/** Which rack: `stateDir` holds all racks of a user. */
export interface RackPlace {
  readonly stateDir: string
  /** Default `default`. */
  readonly name?: string
}

export interface RackMachine extends MachineSpec {
  readonly state: 'on' | 'off' | 'unplugged' | 'down'
  /** What its next start boots from, when a BMC has set that. */
  readonly boot: string
  readonly pid?: number
  readonly rssBytes?: number
  readonly tap: string
  /** The BMC to use, one of `bmcs`. */
  readonly bmc: string
  readonly bmcs: Readonly<Record<BmcKind, string>>
  /** What came over its serial line. */
  readonly consoleLog: string
  /** One line, `TIME SOURCE COMMAND`, for each command that changed its power or boot device. */
  readonly chassisLog: string
}

export interface RackInfo {
  readonly name: string
  readonly dir: string
  readonly isUp: boolean
  /** A process in the rack's network namespace, while it is up. */
  readonly keeperPid?: number
  readonly accel?: 'kvm' | 'tcg'
  readonly network: typeof NETWORK
  /** A forward proxy for HTTP into the host's network: as a unix socket, and as a URL for programs inside the rack. */
  readonly egress: { readonly socket: string; readonly url: string }
  /** Holds the password of the user `admin` on all BMCs. */
  readonly passwordFile: string
  readonly machines: readonly RackMachine[]
}

export interface RackUpOptions extends RackPlace, RackOptions {
  readonly name?: string
  /** Told what is being done, a sentence at a time. */
  readonly progress?: (step: string) => void
  readonly signal?: AbortSignal
}

const KEEPER_MS = 60_000
const LOCK_MS = 60_000
const GRACE_MS = 3000

/**
 * Sets up a rack, or starts what is missing of the one that is there; its machines, with their MACs, UUIDs and disks, stay the same.
 * @throws {AppError} conflict when the rack that is there is of another kind than asked; unsupported when this system cannot
 */
export async function rackUp(options: RackUpOptions): Promise<RackInfo> {
  const { progress = () => {}, signal } = options
  const stateDir = resolve(options.stateDir)
  const name = checkRackName(options.name ?? 'default')
  const paths = rackPaths(stateDir, name)
  const planned = planRack(options, randomBytes(16).toString('hex'))
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  await using _lock = await lockRack(stateDir, name, LOCK_MS, signal)
  const existing = readSpec(paths)
  if (existing !== undefined) refuseDifferent(existing, options)
  const spec = existing ?? planned
  const status = existing === undefined ? undefined : await askStatus(paths.keeperSocket)
  if (status === undefined) {
    checkPrograms(spec)
    if (existing === undefined) createFiles(paths, spec)
    await startKeeper(spec, paths, progress, signal)
  } else {
    progress(`rack "${name}" is there; starting what is missing`)
    await ask(paths.keeperSocket, 'POST', '/ensure')
  }
  await startEgress(spec, paths)
  return describeRack(spec, paths, await askStatus(paths.keeperSocket))
}

/** Every rack in the state directory, up or not. */
export async function rackList({ stateDir }: { stateDir: string }): Promise<RackInfo[]> {
  const names = entries(resolve(stateDir)).filter((name) => existsSync(join(resolve(stateDir), name, 'rack.json')))
  return await Promise.all(names.toSorted().map((name) => rackInfo({ stateDir, name })))
}

/** @throws {AppError} not_found */
export async function rackInfo(place: RackPlace): Promise<RackInfo> {
  const { spec, paths } = findRack(place)
  return describeRack(spec, paths, await askStatus(paths.keeperSocket))
}

/**
 * Ends a rack: its processes and those that run in its network, the network, and its files. One that crashed is cleaned up too.
 * @returns false when there was none
 */
export async function rackDown({
  stateDir,
  name = 'default',
  signal,
}: RackPlace & { signal?: AbortSignal }): Promise<boolean> {
  const paths = rackPaths(resolve(stateDir), name)
  if (!existsSync(paths.dir)) return false
  await using _lock = await lockRack(resolve(stateDir), name, LOCK_MS, signal)
  const spec = readSpec(paths)
  if (spec === undefined) return removeEmpty(paths)
  await askStatus(paths.keeperSocket).then((status) => status && ask(paths.keeperSocket, 'POST', '/shutdown'))
  await endProcesses(spec.rackId, GRACE_MS)
  // The specification goes last: while it is there, `down` can be repeated.
  for (const entry of entries(paths.dir))
    if (entry !== 'rack.json') rmSync(join(paths.dir, entry), { recursive: true, force: true })
  rmSync(paths.dir, { recursive: true })
  return true
}

/**
 * The serial line of a machine, both ways.
 * @param fromByte where in its record to begin, default 0: from the first byte; undefined: only what comes from now on
 */
export async function rackConsole(
  place: RackPlace,
  machine: string,
  { fromByte }: { fromByte?: number | undefined } = { fromByte: 0 },
): Promise<Duplex> {
  return await askConsole(upSocket(place), machine, fromByte)
}

/** Takes mains power from a machine: it and its BMC die at once. */
export async function rackUnplug(place: RackPlace, machine: string): Promise<void> {
  await ask(upSocket(place), 'POST', `/machines/${encodeURIComponent(machine)}/unplug`)
}

/** Gives mains power back: the BMC starts, the machine stays off. */
export async function rackPlug(place: RackPlace, machine: string): Promise<void> {
  await ask(upSocket(place), 'POST', `/machines/${encodeURIComponent(machine)}/plug`)
}

/** Presses a button on the machine itself, past its BMC. */
export async function rackPress(
  place: RackPlace,
  machine: string,
  button: 'power-on' | 'power-off' | 'reset' | 'soft-off',
): Promise<void> {
  await ask(upSocket(place), 'POST', `/machines/${encodeURIComponent(machine)}/${button}`)
}

/** Starts a program in the rack's network. It ends, at the latest, with `rackDown`. */
export async function rackSpawn(
  place: RackPlace,
  argv: readonly string[],
  options: SpawnOptions = {},
): Promise<ChildProcess> {
  const { spec, paths } = findRack(place)
  const status = await askStatus(paths.keeperSocket)
  if (status === undefined) throw notUp(spec.name)
  const [command, ...args] = inNamespaceOf(status.pid, status.way, argv)
  return spawn(command!, args, {
    ...options,
    env: { ...markedEnvironment(spec.rackId), ...options.env, BAREBOAT_RACK: spec.rackId },
  })
}

/**
 * Runs a program in the rack's network, on our standard input and output.
 * @returns its exit code; 128 + number of the signal that ended it, as a shell does
 */
export async function rackExec(place: RackPlace, argv: readonly string[], options: SpawnOptions = {}): Promise<number> {
  const child = await rackSpawn(place, argv, { stdio: 'inherit', ...options })
  return await new Promise((done, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => done(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  })
}

async function startKeeper(
  spec: RackSpec,
  paths: RackPaths,
  progress: (step: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  // What a keeper that crashed has left behind.
  await endProcesses(spec.rackId, GRACE_MS)
  const failure = join(paths.dir, 'keeper.failure')
  rmSync(failure, { force: true })
  const way = detectNamespaceWay(spec.name)
  progress(`starting ${spec.machines.length} machines of rack "${spec.name}"`)
  const keeper = join(import.meta.dirname, 'keeper.ts')
  const child = startDetached(inNewNamespace(way, [process.execPath, keeper, paths.dir, way]), spec, paths.keeperLog)
  const hasEnded = new Promise<true>((done) => child.once('exit', () => done(true)))
  let isOver = false
  void hasEnded.then(() => (isOver = true))
  const started = await poll(async () => (isOver ? 'ended' : (await askStatus(paths.keeperSocket)) && 'up'), {
    everyMs: 25,
    deadlineMs: KEEPER_MS,
    ...(signal === undefined ? {} : { signal }),
  }).catch(async (cause: unknown) => {
    await endProcesses(spec.rackId, GRACE_MS)
    throw cause
  })
  if (started === 'up') return
  await endProcesses(spec.rackId, GRACE_MS)
  const why = existsSync(failure)
    ? readFileSync(failure, 'utf8')
    : started === 'ended'
      ? 'its keeper ended'
      : `its keeper is not ready after ${KEEPER_MS} ms`
  throw new AppError('unsupported', `Cannot start rack "${spec.name}": ${why}; see ${paths.keeperLog}`)
}

/** The egress proxy runs outside the namespace, and ends with the keeper. */
async function startEgress(spec: RackSpec, paths: RackPaths): Promise<void> {
  if (await isListening(paths.egressSocket)) return
  const program = join(import.meta.dirname, 'egress.ts')
  startDetached([process.execPath, program, paths.egressSocket, paths.keeperSocket], spec, paths.keeperLog)
  const isUp = await poll(async () => (await isListening(paths.egressSocket)) || undefined, {
    everyMs: 25,
    deadlineMs: 10_000,
  })
  if (!isUp)
    throw new AppError(
      'timeout',
      `Cannot start the egress of rack "${spec.name}": it does not listen; see ${paths.keeperLog}`,
    )
}

async function isListening(socketPath: string): Promise<boolean> {
  return await ask(socketPath, 'GET', '/').then(
    () => true,
    (error: unknown) => !(error instanceof AppError && error.code === 'unreachable'),
  )
}

function startDetached(argv: readonly string[], spec: RackSpec, logFile: string): ChildProcess {
  const log = openSync(logFile, 'a', 0o600)
  const child = spawn(argv[0]!, argv.slice(1), {
    detached: true,
    stdio: ['ignore', log, log],
    env: markedEnvironment(spec.rackId),
    cwd: '/',
  })
  closeSync(log)
  child.unref()
  return child
}

function createFiles(paths: RackPaths, spec: RackSpec): void {
  mkdirSync(paths.dir, { recursive: true, mode: 0o700 })
  const draft = `${paths.spec}.draft`
  writeFileSync(draft, serializeSpec(spec), { mode: 0o600 })
  // 16 characters: IPMI 1.5 passwords have no more (IPMI 2.0 §22.30).
  writeFileSync(paths.password, `${randomBytes(8).toString('hex')}\n`, { mode: 0o600 })
  renameSync(draft, paths.spec)
}

function refuseDifferent(existing: RackSpec, options: RackOptions): void {
  const different = differences(existing, options)
  if (different.length === 0) return
  throw new AppError(
    'conflict',
    `Cannot set up rack "${existing.name}": it is there already, and ${different.join(', ')}; run \`rack down\` first`,
  )
}

function readSpec(paths: RackPaths): RackSpec | undefined {
  try {
    return parseSpec(readFileSync(paths.spec, 'utf8'), paths.spec)
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined
    throw cause
  }
}

function findRack({ stateDir, name = 'default' }: RackPlace): { spec: RackSpec; paths: RackPaths } {
  const paths = rackPaths(resolve(stateDir), name)
  const spec = readSpec(paths)
  if (spec === undefined)
    throw new AppError('not_found', `Cannot find rack "${name}": there is none in "${stateDir}"; run \`rack up\` first`)
  return { spec, paths }
}

function upSocket(place: RackPlace): string {
  return findRack(place).paths.keeperSocket
}

function notUp(name: string): AppError {
  return new AppError('conflict', `Cannot enter rack "${name}": it is not running; run \`rack up\``)
}

/** A folder that a set-up left before it wrote what it is: nothing ran yet. */
function removeEmpty(paths: RackPaths): boolean {
  for (const file of [`${paths.spec}.draft`, paths.password]) rmSync(file, { force: true })
  try {
    rmdirSync(paths.dir)
    return true
  } catch (cause) {
    throw new AppError('invalid', `Cannot end rack in "${paths.dir}": it has no rack.json, and other files are in it`, {
      cause,
    })
  }
}

function describeRack(spec: RackSpec, paths: RackPaths, status: KeeperStatus | undefined): RackInfo {
  return {
    name: spec.name,
    dir: paths.dir,
    isUp: status !== undefined,
    ...(status === undefined ? {} : { keeperPid: status.pid, accel: status.accel }),
    network: NETWORK,
    egress: { socket: paths.egressSocket, url: `http://127.0.0.1:${NETWORK.egressPort}` },
    passwordFile: paths.password,
    machines: spec.machines.map((machine) =>
      describeMachine(
        machine,
        spec,
        paths,
        status?.machines.find(({ name }) => name === machine.name),
      ),
    ),
  }
}

function describeMachine(
  machine: MachineSpec,
  spec: RackSpec,
  paths: RackPaths,
  status: MachineStatus | undefined,
): RackMachine {
  const files = machinePaths(paths.dir, machine.name)
  const bmcs = {
    ipmi: `ipmi://${NETWORK.bmcUser}@${machine.bmcAddress}`,
    http: `http://${machine.bmcAddress}:${NETWORK.httpPort}`,
  }
  return {
    ...machine,
    state: status === undefined ? 'down' : !status.isPlugged ? 'unplugged' : status.isOn ? 'on' : 'off',
    boot: status?.boot ?? 'default',
    ...(status?.pid === undefined ? {} : { pid: status.pid, rssBytes: status.rssBytes ?? 0 }),
    tap: tapName(machine.index),
    bmc: bmcs[spec.bmc],
    bmcs,
    consoleLog: files.console,
    chassisLog: files.chassisLog,
  }
}

function entries(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return []
    throw cause
  }
}
