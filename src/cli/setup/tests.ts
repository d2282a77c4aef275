/** `bareboat test`: the checks, then every test, fast ones first; one line of sums at the end. */
import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { basename, delimiter, dirname, join } from 'node:path'

const ROOT = join(import.meta.dirname, '../../..')
/** For one test, milliseconds: the longest take 5 minutes on two cores. One that hangs is named, and the others still run. */
const TEST_TIMEOUT_MS = 1_200_000

interface Suite {
  readonly name: string
  /** Patterns. */
  readonly files: readonly string[]
  /** Test files that run at the same time. */
  readonly concurrency: number
  /** The files that take longest, without `.test.ts`: they begin first, so that none of them is left to run alone. */
  readonly first?: readonly string[]
}

const SUITES: readonly Suite[] = [
  { name: 'unit', files: ['src/**/*.test.ts', 'scripts/**/*.test.ts'], concurrency: 2 },
  { name: 'whole', files: ['test/cli/**/*.test.ts', 'test/life/**/*.test.ts'], concurrency: 2 },
  { name: 'fuzz', files: ['test/fuzz/**/*.test.ts'], concurrency: 2 },
  // Half of them wait for deadlines of programs that do not answer.
  { name: 'peers', files: ['test/peers/**/*.test.ts'], concurrency: 4, first: ['durable-faults', 'store-faults'] },
  // A file keeps one or two machines busy, and waits for them to be off for a third of its time.
  {
    name: 'e2e',
    files: ['test/e2e/**/*.test.ts'],
    concurrency: 2,
    first: ['roots', 'os-images', 'guest-roots', 'containers', 'lazy'],
  },
]

/** What `bareboat test` can be asked for. */
export const SUITE_NAMES: readonly string[] = ['checks', ...SUITES.map(({ name }) => name)]

export interface Sums {
  passed: number
  failed: number
  skipped: number
}

/**
 * Runs the checks and suites whose name is among `only`, or all.
 * @returns the sums; checks and suites that could not run count as one failure each
 */
export async function runTests(
  only: readonly string[],
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<Sums> {
  const sums: Sums = { passed: 0, failed: 0, skipped: 0 }
  const wanted = (name: string): boolean => only.length === 0 || only.includes(name)
  if (wanted('checks')) {
    say('== checks')
    if (await passesChecks(signal)) sums.passed++
    else sums.failed++
  }
  for (const suite of SUITES.filter(({ name }) => wanted(name))) {
    if (signal.aborted) break
    const files = suite.files.flatMap((pattern) => globSync(pattern, { cwd: ROOT })).toSorted()
    if (files.length === 0) continue
    say(`== ${suite.name}: ${files.length} files`)
    const order = inOrder(files, suite.first ?? [])
    const ran = await runFiles(order, { concurrency: suite.concurrency, timeoutMs: TEST_TIMEOUT_MS, signal })
    for (const key of ['passed', 'failed', 'skipped'] as const) sums[key] += ran[key]
  }
  return sums
}

/** Those that are named come first, in that order. */
export function inOrder(files: readonly string[], first: readonly string[]): string[] {
  const rank = (file: string): number => {
    const at = first.indexOf(basename(file, '.test.ts'))
    return at < 0 ? first.length : at
  }
  return files.toSorted((a, b) => rank(a) - rank(b))
}

/**
 * Runs test files, each in a process of its own, and prints what node's reporter says. In a child, since those processes inherit
 * node's options, and ours are for a daemon.
 * @returns its sums; at least one failure when the run broke off
 */
export function runFiles(
  files: readonly string[],
  { concurrency, timeoutMs, signal }: { concurrency: number; timeoutMs: number; signal: AbortSignal },
): Promise<Sums> {
  return new Promise((resolve, reject) => {
    const words = [join(import.meta.dirname, 'test-files.ts'), String(concurrency), String(timeoutMs), ...files]
    const child = spawn(process.execPath, words, {
      env: withOwnNode(),
      cwd: ROOT,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      signal,
    })
    let sums: Sums | undefined
    child.on('message', (message) => (sums = message as Sums))
    child.once('error', (error) => {
      if (!signal.aborted) reject(error)
    })
    child.once('close', (code) => {
      const { passed, failed, skipped } = sums ?? { passed: 0, failed: 0, skipped: 0 }
      resolve({ passed, failed: code === 0 || failed > 0 ? failed : 1, skipped })
    })
  })
}

function passesChecks(signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const stdio = ['ignore', 'inherit', 'inherit'] as const
    const child = spawn('npm', ['run', '--silent', 'ok'], { env: withOwnNode(), cwd: ROOT, stdio: [...stdio], signal })
    child.once('error', (error) => (signal.aborted ? resolve(false) : reject(error)))
    child.once('close', (code) => resolve(code === 0))
  })
}

/** Scripts that say `node` mean the one that runs this. */
function withOwnNode(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}` }
}
