/** The command line as a person uses it: a process of its own, with what it printed and how it ended. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { poll } from '../../src/base/clock.ts'
import { SELF } from '../../src/cli/demo/place.ts'

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>
  /** What stdin holds, then its end. Default: nothing, ended at once. */
  readonly input?: Uint8Array
  /** Stdin is left to `write` and `endInput`. */
  readonly isOpen?: boolean
  /** Instead of ours, e.g. a program that gives it a terminal. */
  readonly around?: (argv: readonly string[]) => readonly string[]
  /** It is killed after this, and the test fails. Default 300 s. */
  readonly deadlineMs?: number
}

export interface Ran {
  /** 128 + the signal's number when a signal ended it. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  readonly bytes: Buffer
  readonly tookMs: number
}

export interface Running {
  readonly pid: number
  readonly done: Promise<Ran>
  stdout(): string
  stderr(): string
  write(text: string | Uint8Array): void
  endInput(): void
  kill(signal: NodeJS.Signals): void
  /** Waits until what it printed (stdout and stderr in one) matches. @throws with what it printed instead */
  until(pattern: RegExp, deadlineMs?: number): Promise<void>
}

const DEADLINE_MS = 300_000

/** Starts `bareboat ARGV`. */
export function startCommand(argv: readonly string[], options: CommandOptions = {}): Running {
  const { env, input = Buffer.alloc(0), isOpen = false, around = (all) => all, deadlineMs = DEADLINE_MS } = options
  const [program, ...args] = around([...SELF, ...argv])
  const startMs = performance.now()
  const child = spawn(program!, args, { env: { ...process.env, ...env }, stdio: 'pipe' })
  const out: Buffer[] = []
  const err: Buffer[] = []
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    child.kill('SIGKILL')
  }, deadlineMs)
  child.stdout.on('data', (bytes: Buffer) => out.push(bytes))
  child.stderr.on('data', (bytes: Buffer) => err.push(bytes))
  child.stdin.on('error', () => {})
  if (!isOpen) child.stdin.end(input)
  const text = (parts: readonly Buffer[]): string => Buffer.concat(parts).toString('utf8')
  const done = new Promise<Ran>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      if (isLate)
        return reject(
          new Error(`bareboat ${argv.join(' ')}: did not end in ${deadlineMs} ms; it printed ${text(out)}${text(err)}`),
        )
      resolve({
        code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]),
        stdout: text(out),
        stderr: text(err),
        bytes: Buffer.concat(out),
        tookMs: performance.now() - startMs,
      })
    })
  })
  done.catch(() => {})
  return {
    pid: child.pid!,
    done,
    stdout: () => text(out),
    stderr: () => text(err),
    write: (data) => void child.stdin.write(data),
    endInput: () => void child.stdin.end(),
    kill: (signal) => void child.kill(signal),
    async until(pattern, untilMs = DEADLINE_MS) {
      const isSeen = (): boolean => pattern.test(`${text(out)}\n${text(err)}`)
      const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null
      await poll(() => isSeen() || isOver() || undefined, { everyMs: 20, deadlineMs: untilMs })
      // The last of what it printed may arrive after its end.
      if (!isSeen() && isOver()) await done.catch(() => {})
      if (!isSeen())
        throw new Error(
          `bareboat ${argv.join(' ')}: no ${pattern} within ${untilMs} ms; it printed ${text(out)}${text(err)}`,
        )
    },
  }
}
