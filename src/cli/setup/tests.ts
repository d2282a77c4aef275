/** `bareboat test`: the checks, then every test, fast ones first; one line of sums at the end. */
import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

const ROOT = join(import.meta.dirname, '../../..')
/** For one test, milliseconds: the longest take 5 minutes on two cores. One that hangs is named, and the others still run. */
const TEST_TIMEOUT_MS = 1_200_000

interface Suite {
  readonly name: string
  /** Patterns. */
  readonly files: readonly string[]
  /** Test files that run at the same time. */
  readonly concurrency: number
}

const SUITES: readonly Suite[] = [
  { name: 'unit', files: ['src/**/*.test.ts', 'scripts/**/*.test.ts'], concurrency: 2 },
  { name: 'whole', files: ['test/cli/**/*.test.ts', 'test/life/**/*.test.ts'], concurrency: 2 },
  { name: 'fuzz', files: ['test/fuzz/**/*.test.ts'], concurrency: 2 },
  // Half of them wait for deadlines of programs that do not answer.
  { name: 'peers', files: ['test/peers/**/*.test.ts'], concurrency: 4 },
  // A file keeps one or two machines busy, and waits for them to be off for a third of its time.
  { name: 'e2e', files: ['test/e2e/**/*.test.ts'], concurrency: 2 },
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
    const { code } = await run('npm', ['run', '--silent', 'ok'], signal)
    if (code === 0) sums.passed++
    else sums.failed++
  }
  for (const suite of SUITES.filter(({ name }) => wanted(name))) {
    const files = suite.files.flatMap((pattern) => globSync(pattern, { cwd: ROOT })).toSorted()
    if (files.length === 0) continue
    say(`== ${suite.name}: ${files.length} files`)
    const options = [
      '--test',
      '--test-reporter=spec',
      `--test-concurrency=${suite.concurrency}`,
      `--test-timeout=${TEST_TIMEOUT_MS}`,
      // What a test that was given up holds open must not keep its file from ending.
      '--test-force-exit',
      '--disable-warning=ExperimentalWarning',
    ]
    const { code, output } = await run(process.execPath, [...options, ...files], signal)
    addSums(sums, output, code)
    if (signal.aborted) break
  }
  return sums
}

/** Adds what node's test runner says at its end (`ℹ pass 3`). */
export function addSums(sums: Sums, output: string, code: number): void {
  const count = (word: string): number => Number(new RegExp(`^ℹ ${word} (\\d+)$`, 'm').exec(output)?.[1] ?? 0)
  const [passed, failed] = [count('pass'), count('fail') + count('cancelled')]
  sums.passed += passed
  sums.failed += failed
  sums.skipped += count('skipped')
  if (code !== 0 && failed === 0) sums.failed++
}

function run(program: string, args: readonly string[], signal: AbortSignal): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    // Scripts that say `node` mean the one that runs this.
    const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}` }
    const child = spawn(program, args, {
      env,
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
      signal,
      killSignal: 'SIGTERM',
    })
    let tail = ''
    child.stdout.on('data', (bytes: Buffer) => {
      process.stdout.write(bytes)
      tail = (tail + bytes.toString('utf8')).slice(-200_000)
    })
    child.once('error', (error) => {
      if (signal.aborted) resolve({ code: 130, output: tail })
      else reject(error)
    })
    child.once('close', (code) => resolve({ code: code ?? 1, output: tail }))
  })
}
