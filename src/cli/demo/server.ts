/** A server as a process of its own: started, waited for, ended. */
import { spawn, type ChildProcess } from 'node:child_process'
import { openSync, closeSync, readFileSync } from 'node:fs'
import { poll } from '../../base/clock.ts'
import { AppError } from '../../base/errors.ts'
import { createClient } from '../../client/client.ts'
import { rackSpawn, type RackPlace } from '../../rack/rack.ts'
import { SELF, type DemoPlace } from './place.ts'

const READY_MS = 30_000
const END_MS = 20_000

export interface ServerProcess {
  readonly pid: number
  /** Ends it in good order; by force when it does not listen. */
  end(): Promise<void>
}

/**
 * Starts a server and waits until it is ready.
 * @param flags of `bareboat server`, beside where it keeps its data
 * @param rack the rack in whose network it runs; the host's own when undefined
 * @throws {AppError} timeout, with the end of its log
 */
export async function startServer(
  place: DemoPlace,
  flags: readonly string[],
  rack: RackPlace | undefined,
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<ServerProcess> {
  const own = ['server', '--data-dir', place.dataDir, '--kit-dir', place.kitDir, '--socket', place.socket, ...flags]
  const argv = [...SELF, ...own]
  const log = openSync(place.serverLog, 'a', 0o600)
  const options = {
    stdio: ['ignore', log, log] as ('ignore' | number)[],
    detached: true,
    env: { MALLOC_MMAP_THRESHOLD_: '131072', ...process.env, ...env },
  }
  const child = rack ? await rackSpawn(rack, argv, options) : spawn(argv[0]!, argv.slice(1), options)
  closeSync(log)
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  let isOver = false
  void ended.then(() => (isOver = true))
  const client = createClient({ kind: 'unix', path: place.socket })
  const isReady = await poll(
    async () => {
      if (isOver) return false
      const info = await client.system({ signal }).catch(() => undefined)
      return info?.isReady === true ? true : undefined
    },
    { everyMs: 100, deadlineMs: READY_MS, signal },
  )
  if (isReady !== true) {
    await end(child, ended)
    throw new AppError('timeout', `Cannot start the server: ${lastLines(place.serverLog)}`)
  }
  child.unref()
  return { pid: child.pid!, end: () => end(child, ended) }
}

async function end(child: ChildProcess, ended: Promise<void>): Promise<void> {
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), END_MS)
  await ended
  clearTimeout(timer)
}

function lastLines(path: string): string {
  return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-3).join(' | ')
}
