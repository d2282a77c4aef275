/**
 * The process of an NFS server, found by its command line: it names our configuration file, which no other process has. So it is
 * found again by the next daemon, and a process id that now belongs to somebody else is never taken for it.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { systemCode } from '../../base/errors.ts'

/** @returns the id of the process with exactly these arguments behind its program, or undefined */
export function findProcess(args: readonly string[]): number | undefined {
  const tail = Buffer.from(`\0${args.join('\0')}\0`)
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => commandLine(pid).subarray(-tail.length).equals(tail))
}

/** Whether the process still is the one with these arguments. */
export function isProcess(pid: number, args: readonly string[]): boolean {
  const tail = Buffer.from(`\0${args.join('\0')}\0`)
  return commandLine(pid).subarray(-tail.length).equals(tail)
}

/** @returns false when it has ended meanwhile */
export function signalProcess(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal)
    return true
  } catch (error) {
    if (systemCode(error) !== 'ESRCH') throw error
    return false
  }
}

/** Empty for what has ended: a zombie has no command line. */
function commandLine(pid: number): Buffer {
  try {
    return readFileSync(`/proc/${pid}/cmdline`)
  } catch {
    return Buffer.alloc(0)
  }
}
