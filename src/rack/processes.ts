/**
 * The processes of a rack, found by the mark in their environment. The mark holds the rack's random id, so it cannot be anybody
 * else's process, and it is still there when the keeper has crashed and process ids in a file would have gone stale.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { poll } from '../base/clock.ts'
import { AppError } from '../base/errors.ts'

const MARK = 'BAREBOAT_RACK'
/** Where `ip` is, which is not on every user's path. */
const SYSTEM_PATH = '/usr/local/sbin:/usr/sbin:/sbin'

/** `base`, by default our own environment, for a process of this rack; its children inherit the mark. */
export function markedEnvironment(rackId: string, base: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  return { ...base, PATH: [base['PATH'] ?? '/usr/local/bin:/usr/bin:/bin', SYSTEM_PATH].join(':'), [MARK]: rackId }
}

/**
 * Ends every process of the rack: asks first, forces after `graceMs` milliseconds. The calling process and its ancestors are
 * spared: `rack down` may be typed in a shell that runs inside the rack.
 * @throws {AppError} timeout, when one cannot be ended
 */
export async function endProcesses(rackId: string, graceMs: number): Promise<void> {
  for (const [signal, deadlineMs] of [
    ['SIGTERM', graceMs],
    ['SIGKILL', 5000],
  ] as const) {
    const told = new Set<number>()
    const tellAll = (): true | undefined => {
      const left = markedProcesses(rackId)
      // Each once; also those that were started since the first look.
      for (const pid of left.filter((one) => !told.has(one))) {
        told.add(pid)
        kill(pid, signal)
      }
      return left.length === 0 ? true : undefined
    }
    if (await poll(tellAll, { everyMs: 20, deadlineMs })) return
  }
  throw new AppError(
    'timeout',
    `Cannot end processes ${markedProcesses(rackId).join(', ')} of the rack: they do not end when killed`,
  )
}

/** Ids of the processes that carry the rack's mark, without this one and its ancestors. Zombies have no environment. */
export function markedProcesses(rackId: string): number[] {
  const spared = ancestors()
  const mark = Buffer.from(`\0${MARK}=${rackId}\0`)
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => !spared.has(pid) && Buffer.concat([Buffer.of(0), environmentOf(pid)]).includes(mark))
}

function ancestors(): Set<number> {
  const line = new Set<number>()
  for (let pid = process.pid; pid > 0 && !line.has(pid);) {
    line.add(pid)
    // The name in parentheses may hold anything, also parentheses: what follows the last one is `state ppid …` (proc(5)).
    const stat = read(`/proc/${pid}/stat`).toString('latin1')
    pid = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? 0)
  }
  return line
}

function environmentOf(pid: number): Buffer {
  return read(`/proc/${pid}/environ`)
}

/** Empty for what has ended or is not ours to read. */
function read(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch {
    return Buffer.alloc(0)
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended meanwhile.
  }
}
