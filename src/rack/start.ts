/** Starting the two processes of a rack, the keeper and the egress proxy, so that they outlive whoever starts them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { poll } from '../base/clock.ts'
import { AppError } from '../base/errors.ts'
import { askStatus } from './keeper-client.ts'
import type { RackPaths } from './layout.ts'
import { detectNamespaceWay, inNewNamespace } from './namespace.ts'
import type { RackSpec } from './plan.ts'
import { endProcesses, markedEnvironment } from './processes.ts'

/** Room for many BMCs on a slow host. */
const KEEPER_MS = 60_000
const EGRESS_MS = 10_000
export const GRACE_MS = 3000

/**
 * Starts the keeper, after ending what one that crashed has left, and waits until the rack is up.
 * @throws {AppError} unsupported, with the keeper's own words
 */
export async function startKeeper(spec: RackSpec, paths: RackPaths, signal?: AbortSignal): Promise<void> {
  const way = detectNamespaceWay(spec.name)
  await endProcesses(spec.rackId, GRACE_MS)
  rmSync(paths.keeperFailure, { force: true })
  const program = join(import.meta.dirname, 'keeper.ts')
  const child = startDetached(inNewNamespace(way, [process.execPath, program, paths.dir, way]), spec, paths.keeperLog)
  let hasEnded = false
  child.once('exit', () => (hasEnded = true))
  const isUp = async (): Promise<boolean | undefined> =>
    hasEnded ? false : (await askStatus(paths.keeperSocket)) === undefined ? undefined : true
  try {
    const started = await poll(isUp, { everyMs: 25, deadlineMs: KEEPER_MS, ...(signal ? { signal } : {}) })
    if (started !== true) throw notStarted(spec.name, paths, started === false)
  } catch (cause) {
    await endProcesses(spec.rackId, GRACE_MS)
    throw cause
  }
}

/** Starts the egress proxy if it does not run. It stays outside the namespace, and ends with the keeper. */
export async function startEgress(spec: RackSpec, paths: RackPaths): Promise<void> {
  if (await isListening(paths.egressSocket)) return
  const program = join(import.meta.dirname, 'egress.ts')
  startDetached([process.execPath, program, paths.egressSocket, paths.keeperSocket], spec, paths.keeperLog)
  const isUp = async (): Promise<true | undefined> => (await isListening(paths.egressSocket)) || undefined
  if (await poll(isUp, { everyMs: 25, deadlineMs: EGRESS_MS })) return
  throw new AppError(
    'timeout',
    `Cannot start the egress of rack "${spec.name}": it does not listen after ${EGRESS_MS} ms; see ${paths.keeperLog}`,
  )
}

function notStarted(name: string, paths: RackPaths, hasEnded: boolean): AppError {
  const why = existsSync(paths.keeperFailure)
    ? readFileSync(paths.keeperFailure, 'utf8')
    : hasEnded
      ? 'its keeper ended at once'
      : `its keeper is not ready after ${KEEPER_MS} ms`
  return new AppError('unsupported', `Cannot start rack "${name}": ${why}; see ${paths.keeperLog}`)
}

function startDetached(argv: readonly string[], spec: RackSpec, logFile: string): ChildProcess {
  const log = openSync(logFile, 'a', 0o600)
  const [program, ...args] = argv
  const child = spawn(program!, args, {
    detached: true,
    stdio: ['ignore', log, log],
    env: markedEnvironment(spec.rackId),
    cwd: '/',
  })
  closeSync(log)
  child.unref()
  return child
}

async function isListening(socketPath: string): Promise<boolean> {
  const socket = createConnection(socketPath)
  return await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
  }).finally(() => socket.destroy())
}
