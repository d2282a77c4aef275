/**
 * A process that strace kills at its n-th system call of a kind. With its filter of calls strace injects errors, but no signals;
 * without it each call stops, and those of a start are many: so it comes when the program is loaded.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readSync, writeSync } from 'node:fs'

/** The option of strace with which only the calls that it traces stop, where a fault can be injected with it. */
export function filterFor(fault: string): string[] {
  return fault.includes('signal=') ? [] : ['--seccomp-bpf']
}

export interface KilledAt {
  /** System calls, as strace takes them: `fsync,fdatasync`. It counts for each thread. */
  readonly calls: string
  readonly when: number
  /** Of node. The program calls `waitForTracer` before it does anything that counts. */
  readonly words: readonly string[]
  readonly env?: NodeJS.ProcessEnv
}

/** @returns how it ended, `null` when it was killed, and what it printed */
export async function runKilledAt({ calls, when, words, env = process.env }: KilledAt) {
  const child = spawn(process.execPath, words, { stdio: 'pipe', timeout: 60_000, killSignal: 'SIGKILL', env })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()))
  child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()))
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const isOver = await Promise.race([once(child.stderr, 'data').then(() => false), ended.then(() => true)])
  assert.ok(!isOver, `it ended before it was traced: ${stderr}`)
  await attach(child.pid!, calls, when)
  child.stdin.end('!')
  return { status: await ended, stdout, stderr }
}

/** Says that the program is loaded, and goes on at a byte on stdin. */
export function waitForTracer(): void {
  writeSync(2, 'loaded\n')
  readSync(0, Buffer.alloc(1))
}

async function attach(pid: number, calls: string, when: number): Promise<void> {
  const inject = `inject=${calls}:signal=KILL:when=${when}`
  const how = ['-f', '-p', String(pid), '-o', '/dev/null', '-e', `trace=${calls}`, '-e', inject]
  const strace = spawn('strace', how, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  // Read to its end: it also tells of threads that come, and must not wait for a reader.
  const isAttached = new Promise<boolean>((resolve, reject) => {
    strace.stderr.on('data', (bytes: Buffer) => {
      if (said.length < 4096) said += bytes.toString()
      if (said.includes(' attached')) resolve(true)
    })
    strace.once('error', reject)
    strace.once('close', () => resolve(false))
  })
  assert.ok(await isAttached, said)
}
