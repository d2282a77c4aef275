/**
 * A rack: virtual machines that QEMU plays, each with its own BMCs, in a network of their own that nothing leaves. A lab for a
 * user, the test bench for us. keeper.ts says how it lives, layout.ts where it keeps what, plan.ts what it is made of.
 */
import { type ChildProcess, spawn, type SpawnOptions } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, rmdirSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join, resolve } from 'node:path'
import type { Duplex } from 'node:stream'
import { AppError, systemCode } from '../base/errors.ts'
import type { Insertion } from './control-server.ts'
import { describeRack, type RackInfo } from './info.ts'
import { ask, askConsole, askStatus, untilGone } from './keeper-client.ts'
import { rackPaths, type RackPaths } from './layout.ts'
import { lockRack } from './lock.ts'
import type { Drive } from './medium.ts'
import { inNamespaceOf } from './namespace.ts'
import { checkRackName, differences, planRack, type RackOptions, type RackSpec } from './plan.ts'
import { endProcesses, markedEnvironment } from './processes.ts'
import { checkPrograms } from './programs.ts'
import { parseSpec, serializeSpec } from './spec-file.ts'
import { GRACE_MS, startEgress, startKeeper } from './start.ts'

export type { RackInfo, RackMachine } from './info.ts'

/** Which rack. */
export interface RackPlace {
  /** The folder of all racks of a user. */
  readonly stateDir: string
  /** Default `default`. */
  readonly name?: string
}

export interface RackUpOptions extends RackOptions {
  readonly stateDir: string
  /** Told what is being done. */
  readonly progress?: (step: string) => void
  readonly signal?: AbortSignal
}

/** What can be done at the machine itself, past its BMC. `plug` and `unplug`: mains power, for the machine and its BMC. */
export type RackButton = 'power-on' | 'power-off' | 'reset' | 'soft-off' | 'plug' | 'unplug'

const LOCK_MS = 60_000
const SHUTDOWN_MS = 5000
/** Its server is asked, then QEMU. */
const DRIVE_MS = 60_000

/**
 * Sets up a rack, or starts what is missing of the one that is there; its machines, with their MACs, UUIDs and disks, stay the
 * same. Machines start off.
 * @throws {AppError} conflict when the rack that is there is of another kind than asked; unsupported when this system cannot
 */
export async function rackUp({ stateDir, progress, signal, ...options }: RackUpOptions): Promise<RackInfo> {
  const folder = resolve(stateDir)
  const name = checkRackName(options.name ?? 'default')
  const paths = rackPaths(folder, name)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  await using _lock = await lockRack(folder, name, LOCK_MS, signal)
  const existing = readSpec(paths)
  if (existing !== undefined) refuseDifferent(existing, options)
  const spec = existing ?? planRack(options, randomBytes(16).toString('hex'))
  if (existing !== undefined && (await askStatus(paths.keeperSocket)) !== undefined) {
    progress?.(`rack "${name}" is up; starting what is missing`)
    await ask(paths.keeperSocket, 'POST', '/ensure')
  } else {
    checkPrograms(spec)
    if (existing === undefined) createFiles(paths, spec)
    progress?.(`starting rack "${name}" with ${spec.machines.length} machines`)
    await startKeeper(spec, paths, signal)
  }
  await startEgress(spec, paths)
  return describeRack(spec, paths, await askStatus(paths.keeperSocket))
}

/** Every rack in the state directory, up or not. */
export async function rackList({ stateDir }: { readonly stateDir: string }): Promise<RackInfo[]> {
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
}: RackPlace & { readonly signal?: AbortSignal }): Promise<boolean> {
  const paths = rackPaths(resolve(stateDir), name)
  if (!existsSync(paths.dir)) return false
  await using _lock = await lockRack(resolve(stateDir), name, LOCK_MS, signal)
  const spec = readSpec(paths)
  if (spec === undefined) return removeUnfinished(paths)
  try {
    await ask(paths.keeperSocket, 'POST', '/shutdown', { deadlineMs: SHUTDOWN_MS })
    await untilGone(paths.keeperSocket, AbortSignal.timeout(SHUTDOWN_MS))
  } catch {
    // It crashed, or hangs: what it should have ended is ended now.
  }
  await endProcesses(spec.rackId, GRACE_MS)
  // The specification goes last: while it is there, `down` can be repeated.
  for (const entry of entries(paths.dir))
    if (entry !== 'rack.json') rmSync(join(paths.dir, entry), { recursive: true, force: true })
  rmSync(paths.dir, { recursive: true })
  return true
}

/**
 * The serial line of a machine, both ways. It stays open while the machine is switched off and on.
 * @param from where in its record to begin: the first byte (default), a byte's number, or `now` for only what comes
 * @throws {AppError} not_found, unreachable
 */
export async function rackConsole(
  place: RackPlace,
  machine: string,
  { from = 0 }: { readonly from?: number | 'now' } = {},
): Promise<Duplex> {
  return await askConsole(findRack(place).paths.keeperSocket, machine, from === 'now' ? undefined : from)
}

/**
 * Presses a button of the machine, or pulls its mains plug: it and its BMC die at once.
 * @throws {AppError} not_found; conflict when it has no mains power; unreachable when the rack is not up
 */
export async function rackPress(place: RackPlace, machine: string, button: RackButton): Promise<void> {
  await ask(findRack(place).paths.keeperSocket, 'POST', machinePath(machine, button))
}

/** Takes mains power from a machine and its BMC. */
export async function rackUnplug(place: RackPlace, machine: string): Promise<void> {
  await rackPress(place, machine, 'unplug')
}

/** Gives mains power back: its BMC is ready when this resolves, the machine is off. */
export async function rackPlug(place: RackPlace, machine: string): Promise<void> {
  await rackPress(place, machine, 'plug')
}

/**
 * Puts a file, or what an HTTP server has, into a drive of a machine, on or off; what is in it already is taken out.
 * @throws {AppError} invalid, not_found, unreachable, bad_peer when it cannot be read; conflict without mains power
 */
export async function rackInsert(place: RackPlace, machine: string, insertion: Insertion): Promise<void> {
  await ask(findRack(place).paths.keeperSocket, 'POST', machinePath(machine, 'insert'), {
    body: insertion,
    deadlineMs: DRIVE_MS,
  })
}

/** Empties a drive. @throws {AppError} not_found; conflict without mains power; unreachable when the rack is not up */
export async function rackEject(place: RackPlace, machine: string, drive: Drive): Promise<void> {
  await ask(findRack(place).paths.keeperSocket, 'POST', machinePath(machine, 'eject'), {
    body: { drive },
    deadlineMs: DRIVE_MS,
  })
}

/** Starts a program in the rack's network. It is ended, at the latest, by `rackDown`. */
export async function rackSpawn(
  place: RackPlace,
  argv: readonly string[],
  options: SpawnOptions = {},
): Promise<ChildProcess> {
  const { spec, paths } = findRack(place)
  const status = await askStatus(paths.keeperSocket)
  if (status === undefined)
    throw new AppError('conflict', `Cannot enter rack "${spec.name}": it is not up; run \`rack up\``)
  const [program, ...args] = inNamespaceOf(status.pid, status.way, argv)
  return spawn(program!, args, { ...options, env: markedEnvironment(spec.rackId, options.env) })
}

/**
 * Runs a program in the rack's network, on our standard input and output unless `options` says otherwise.
 * @returns its exit code; 128 + number of the signal that ended it, as a shell does
 */
export async function rackExec(place: RackPlace, argv: readonly string[], options: SpawnOptions = {}): Promise<number> {
  const child = await rackSpawn(place, argv, { stdio: 'inherit', ...options })
  return await new Promise((done, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => done(code ?? 128 + (signal === null ? 0 : constants.signals[signal])))
  })
}

function machinePath(machine: string, command: string): string {
  return `/machines/${encodeURIComponent(machine)}/${command}`
}

function createFiles(paths: RackPaths, spec: RackSpec): void {
  mkdirSync(paths.dir, { recursive: true, mode: 0o700 })
  // 16 characters: IPMI 1.5 passwords have no more (IPMI 2.0 §22.30).
  writeFileSync(paths.password, `${randomBytes(8).toString('hex')}\n`, { mode: 0o600 })
  writeFileSync(draftOf(paths), serializeSpec(spec), { mode: 0o600 })
  renameSync(draftOf(paths), paths.spec)
}

/** A folder that a set-up left before it wrote what it is: nothing ran yet. */
function removeUnfinished(paths: RackPaths): boolean {
  for (const file of [draftOf(paths), paths.password]) rmSync(file, { force: true })
  try {
    rmdirSync(paths.dir)
  } catch (cause) {
    throw new AppError('invalid', `Cannot end rack in "${paths.dir}": there is no rack.json, but other files are`, {
      cause,
    })
  }
  return true
}

function draftOf(paths: RackPaths): string {
  return `${paths.spec}.draft`
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
  if (spec !== undefined) return { spec, paths }
  throw new AppError('not_found', `Cannot find rack "${name}": there is none in "${stateDir}"; run \`rack up\` first`)
}

function entries(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return []
    throw cause
  }
}
