/**
 * nfs-ganesha as a process of its own. Machines have their roots on it, so it does not end with the daemon: the next daemon finds
 * it by its command line and goes on with it. It ends with a daemon that ends while nothing is shown; one that dies while
 * something is shown is started again, and its clients take up where they were (they see a pause, as of a slow server).
 *
 * What is shown changes by SIGHUP: version 4 adds, removes and updates exports by their ids and leaves the others alone. It says
 * in its log when it is done.
 */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { open, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { poll, sleep } from '../../base/clock.ts'
import { AppError, explain, systemCode } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { isAbort, type Task } from '../../base/task.ts'
import type { NfsExport, NfsServer, NfsVersion } from '../../services/nfs/ports.ts'
import { runProgram } from '../debian/program.ts'
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

/** Where nfs-ganesha looks for file systems (getmntent(3)): all of Debian has it but a bare chroot. */
const MOUNTS = '/etc/mtab'
/** Absent where the kernel has no IPv6. */
const IPV6_ADDRESSES = '/proc/net/if_inet6'
/** It would like to be known to rpcbind and to speak Kerberos to clients; neither is wanted. */
const HARMLESS = ['Cannot register NFS', 'gssd_refresh_krb5_machine_credential']
const RELOADED = 'Reread exports complete'

export function createGanesha({ log, directory, address, port }: GaneshaConfig): Ganesha {
  const path = (name: string): string => join(directory, name)
  const configPath = path('ganesha.conf')
  const logPath = path('ganesha.log')
  const versionPath = path('version')
  const recoveryPath = path('recovery')
  const args = ['-F', '-f', configPath, '-p', path('ganesha.pid'), '-L', logPath]
  let wanted: readonly NfsExport[] = []
  let pid: number | undefined
  let problem: string | undefined
  let version: NfsVersion | undefined
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
      const before = (await readFile(configPath, 'utf8').catch(orUndefined)) ?? ''
      const heads = [true, false].map((hasIpv6) => renderServer({ address, port, hasIpv6, recoveryPath }))
      // An IPv6 address that comes or goes is no reason to take their root from machines for a moment.
      const kept = running() === undefined ? undefined : heads.find((one) => before.startsWith(one))
      const head = kept ?? heads[hasIpv6Address() ? 0 : 1]!
      const config = head + renderExports(wanted)
      // Without exports there is nothing to start it for, and nothing to keep it from.
      if (running() === undefined && wanted.length === 0) return void (problem = undefined)
      if (running() !== undefined && kept === undefined) await end()
      if (before !== config) {
        makeDirectory(recoveryPath)
        await replaceFile(configPath, [Buffer.from(config)])
      }
      await rotateLog()
      if (running() === undefined) await start()
      else await reload()
      // That of the one that runs, which need not be the one that is installed.
      version ??= versionFor(await readFile(versionPath, 'utf8'))
      problem = undefined
    } catch (error) {
      problem = explain(error)
      throw error
    }
  }

  async function start(): Promise<void> {
    if (!existsSync(MOUNTS))
      throw new AppError(
        'unsupported',
        `Cannot serve roots over NFS: ${PROGRAM} looks for file systems in ${MOUNTS}, which is not there; as root: ln -s /proc/self/mounts ${MOUNTS}`,
      )
    const from = await logSize()
    version = undefined
    await replaceFile(versionPath, [await installedRelease()])
    // Its own session and no pipe of ours: it lives on when this process does not.
    const child = spawn(PROGRAM, args, { detached: true, stdio: 'ignore', cwd: '/' })
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', reject)
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
    if (existsSync(IPV6_ADDRESSES) && !hasIpv6Address())
      log.warn('NFS server listens on all addresses: it can be bound to one only where there is an IPv6 address too')
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

    version() {
      if (version === undefined) throw new Error('nothing is shown yet')
      return version
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

/** What the installed one says of itself, e.g. `NFS-Ganesha Release = V4.3`. @throws {AppError} unsupported */
async function installedRelease(): Promise<Uint8Array> {
  try {
    return await runProgram(PROGRAM, ['-v'])
  } catch (cause) {
    throw new AppError(
      'unsupported',
      'Cannot serve roots over NFS: nfs-ganesha cannot be run; install the packages nfs-ganesha and nfs-ganesha-vfs',
      { cause },
    )
  }
}

/**
 * READ_PLUS of NFSv4.2 is broken in 4.3 (Debian 12): Linux 6.12 reads other bytes than there are, or gets EIO. It is sound in 6.5
 * (Debian 13); what lies between was not tried.
 */
function versionFor(release: string): NfsVersion {
  const major = /V(\d+)/.exec(release)?.[1]
  return Number(major) >= 6 ? '4.2' : '4.1'
}

/** Whether there is an address besides that of the loopback; each line begins with one, in 32 digits. */
function hasIpv6Address(): boolean {
  try {
    return readFileSync(IPV6_ADDRESSES, 'latin1')
      .split('\n')
      .some((line) => /^[0-9a-f]{32} /.test(line) && !/^0{31}1 /.test(line))
  } catch (error) {
    return orUndefined(error) ?? false
  }
}

/** What it said that is worse than a warning, as the end of a sentence; what follows from a complaint comes behind it. */
function complaints(said: string): string {
  const lines = said.split('\n').flatMap((line) => /:(?:CRIT|MAJ|FATAL) :(.*)$/.exec(line)?.[1] ?? [])
  const telling = lines.filter((line) => !HARMLESS.some((text) => line.includes(text)))
  return telling.length === 0 ? '' : `: ${telling.slice(0, 2).join('; ')}`
}

function orUndefined(error: unknown): undefined {
  if (systemCode(error) !== 'ENOENT') throw error
  return undefined
}
