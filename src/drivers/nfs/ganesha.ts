/**
 * nfs-ganesha as a process of its own. Machines have their roots on it, so it does not end with the daemon: the next daemon finds
 * it by its command line and goes on with it. It ends with a daemon that ends while nothing is shown; one that dies while
 * something is shown is started again, and its clients take up where they were (they see a pause, as of a slow server).
 *
 * What is shown changes by SIGHUP: version 4 adds, removes and updates exports by their ids and leaves the others alone. It says
 * in its log when it is done.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { open, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { poll, sleep } from '../../base/clock.ts'
import { AppError, explain, systemCode } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { isAbort, type Task } from '../../base/task.ts'
import type { NfsExport, NfsServer } from '../../services/nfs/ports.ts'
import { replaceFile } from '../durable.ts'
import { makeDirectory } from '../files.ts'
import { answersNfs } from './answers.ts'
import { renderExports, renderServer } from './ganesha-config.ts'
import { findProcess, isProcess, signalProcess } from './process.ts'

export interface GaneshaConfig {
  readonly log: Log
  /** For its configuration, its log and what it remembers of its clients. */
  readonly directory: string
  /** IPv4 address of the machines' interface; it listens on no other. */
  readonly address: string
  readonly port: number
}

export interface Ganesha extends NfsServer, AsyncDisposable {
  /** Starts the server again when it dies while it is needed. */
  readonly task: Task
  /** What keeps it from full health, in words. */
  problems(): string[]
}

const PROGRAM = 'ganesha.nfsd'
const START_MS = 30_000
const RELOAD_MS = 15_000
const END_MS = 10_000
const KILL_MS = 5000
/** Between two looks at whether it is still there; after each failed start twice as long, up to the longest. */
const WATCH_MS = 1000
const LONGEST_WATCH_MS = 30_000
const PROBE_MS = 2000
/** The log begins anew beyond this; the last one is kept beside it. */
const LOG_MAX_BYTES = 8 * 2 ** 20

const RELOADED = 'Reread exports complete'

export function createGanesha({ log, directory, address, port }: GaneshaConfig): Ganesha {
  const path = (name: string): string => join(directory, name)
  const configPath = path('ganesha.conf')
  const logPath = path('ganesha.log')
  const args = ['-F', '-f', configPath, '-p', path('ganesha.pid'), '-L', logPath]
  let wanted: readonly NfsExport[] = []
  let pid: number | undefined
  let problem: string | undefined
  let last: Promise<unknown> = Promise.resolve()

  /** One thing after the other is done to the process. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = last.then(work)
    last = mine.catch(() => {})
    return mine
  }

  function running(): number | undefined {
    if (pid === undefined || !isProcess(pid, args)) pid = findProcess(args)
    return pid
  }

  /** Brings the server to show what is wanted, whatever state it is in. */
  async function settle(): Promise<void> {
    try {
      const head = renderServer({
        address,
        port,
        hasIpv6: existsSync('/proc/net/if_inet6'),
        recoveryPath: path('recovery'),
      })
      const config = head + renderExports(wanted)
      const before = await readFile(configPath, 'utf8').catch(orUndefined)
      // Without exports there is nothing to start it for, and nothing to keep it from.
      if (running() === undefined && wanted.length === 0) return void (problem = undefined)
      if (running() !== undefined && before?.startsWith(head) !== true) await end()
      if (before !== config) {
        makeDirectory(path('recovery'))
        await replaceFile(configPath, [Buffer.from(config)])
      }
      await rotateLog()
      if (running() === undefined) await start()
      else await reload()
      problem = undefined
    } catch (error) {
      problem = explain(error)
      throw error
    }
  }

  async function start(): Promise<void> {
    const from = await logSize()
    // Its own session and no pipe of ours: it lives on when this process does not.
    const child = spawn(PROGRAM, args, { detached: true, stdio: 'ignore', cwd: '/' })
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', reject)
    }).catch((cause: unknown) => {
      if (systemCode(cause) !== 'ENOENT') throw cause
      throw new AppError(
        'unsupported',
        `Cannot serve roots over NFS: "${PROGRAM}" is not installed; install the packages nfs-ganesha and nfs-ganesha-vfs`,
        { cause },
      )
    })
    child.unref()
    const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null
    const answered = await poll(
      async () => (isOver() ? false : (await answersNfs(address, port, PROBE_MS)) || undefined),
      { everyMs: 50, deadlineMs: START_MS },
    )
    // Somebody else's server may be what answers, when ours could not have the port.
    if (answered !== true || isOver() || running() === undefined) {
      if (!isOver()) child.kill('SIGKILL')
      throw new AppError(
        answered === undefined ? 'timeout' : 'unsupported',
        `Cannot serve roots over NFS: ${PROGRAM} ${answered === undefined ? `does not answer on ${address}:${port}` : 'has ended'}${complaints(await logFrom(from))}; is another NFS server on port ${port}? its log is "${logPath}"`,
      )
    }
    refuseUnshown(await logFrom(from))
    log.info('NFS server started', { pid: child.pid, address, port, exports: wanted.length })
  }

  async function reload(): Promise<void> {
    const from = await logSize()
    const target = running()
    if (target === undefined || !signalProcess(target, 'SIGHUP')) return start()
    const said = await poll(
      async () => {
        const text = await logFrom(from)
        return text.includes(RELOADED) || running() !== target ? text : undefined
      },
      { everyMs: 10, deadlineMs: RELOAD_MS },
    )
    if (running() !== target) return start()
    if (said === undefined)
      throw new AppError(
        'timeout',
        `Cannot change what is served over NFS: ${PROGRAM} has not read its configuration again within ${RELOAD_MS / 1000} s; its log is "${logPath}"`,
      )
    refuseUnshown(said)
    log.debug('NFS exports changed', { pid: target, exports: wanted.length })
  }

  /** @throws {AppError} unsupported when the log says that one of the exports cannot be served */
  function refuseUnshown(said: string): void {
    for (const { name, path: shown } of wanted)
      if (said.includes(`Could not create export for (/${name})`))
        throw new AppError(
          'unsupported',
          `Cannot serve "${shown}" over NFS${complaints(said)}; its file system must be a local one that can be exported, such as ext4, xfs or btrfs`,
        )
  }

  async function end(): Promise<void> {
    const target = running()
    if (target === undefined) return
    const isGone = (): true | undefined => (isProcess(target, args) ? undefined : true)
    signalProcess(target, 'SIGTERM')
    if (!(await poll(isGone, { everyMs: 20, deadlineMs: END_MS }))) {
      signalProcess(target, 'SIGKILL')
      if (!(await poll(isGone, { everyMs: 20, deadlineMs: KILL_MS })))
        throw new AppError('timeout', `Cannot end ${PROGRAM} (process ${target}): it does not end when killed`)
    }
    pid = undefined
    log.info('NFS server ended', { pid: target })
  }

  async function logSize(): Promise<number> {
    return (await stat(logPath).catch(orUndefined))?.size ?? 0
  }

  async function logFrom(offset: number): Promise<string> {
    await using file = await open(logPath, 'r').catch(orUndefined)
    if (!file) return ''
    const bytes = Buffer.alloc(2 ** 18)
    const { bytesRead } = await file.read(bytes, 0, bytes.length, offset)
    return bytes.toString('utf8', 0, bytesRead)
  }

  /** The server opens its log anew for each line. */
  async function rotateLog(): Promise<void> {
    if ((await logSize()) > LOG_MAX_BYTES) await rename(logPath, `${logPath}.1`)
  }

  return {
    serve: (exports) =>
      inTurn(() => {
        wanted = exports
        return settle()
      }),

    task: {
      name: 'nfs',
      async run(signal, ready) {
        ready()
        let pauseMs = WATCH_MS
        try {
          for (;;) {
            await sleep(pauseMs, signal)
            if (problem === undefined && (wanted.length === 0 || running() !== undefined)) continue
            log.warn('NFS server is gone or behind; bringing it back', { why: problem, exports: wanted.length })
            try {
              await inTurn(settle)
              pauseMs = WATCH_MS
            } catch (error) {
              log.error('NFS server not brought back', { error: explain(error) })
              pauseMs = Math.min(pauseMs * 2, LONGEST_WATCH_MS)
            }
          }
        } catch (error) {
          if (!isAbort(error, signal)) throw error
        }
      },
    },

    problems: () => (problem === undefined ? [] : [`NFS: ${problem}`]),

    /** Leaves the server to the machines that have their roots on it; ends it when there are none. */
    [Symbol.asyncDispose]: () =>
      inTurn(async () => {
        if (wanted.length > 0)
          return log.info('NFS server goes on without us', { pid: running(), exports: wanted.length })
        await end()
        await rm(path('ganesha.pid'), { force: true })
      }),
  }
}

/** What it said last that is worse than a warning, as the end of a sentence. */
function complaints(said: string): string {
  const lines = said.split('\n').flatMap((line) => /:(?:CRIT|MAJ|FATAL) :(.*)$/.exec(line)?.[1] ?? [])
  return lines.length === 0 ? '' : `: ${lines.slice(-3).join('; ')}`
}

function orUndefined(error: unknown): undefined {
  if (systemCode(error) !== 'ENOENT') throw error
  return undefined
}
