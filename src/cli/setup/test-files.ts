/** A child of `bareboat test` that runs test files in the order in which they are given: `test-files.ts CONCURRENCY TIMEOUT_MS FILE…`. */
import { resolve } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import type { Sums } from './tests.ts'

const [concurrency, timeoutMs, ...files] = process.argv.slice(2)
const stream = run({
  files: files.map((file) => resolve(file)),
  concurrency: Number(concurrency),
  isolation: 'process',
  execArgv: [
    `--test-timeout=${timeoutMs}`,
    // What a test that was given up holds open must not keep its file from ending.
    '--test-force-exit',
    '--disable-warning=ExperimentalWarning',
  ],
})
stream.on('test:summary', ({ file, counts }) => {
  // Each file has one as well.
  if (file !== undefined) return
  const { tests, passed, skipped, todo } = counts
  const sums: Sums = { passed, failed: tests - passed - skipped - todo, skipped }
  process.send?.(sums)
  if (sums.failed > 0) process.exitCode = 1
})
for await (const text of stream.compose(spec)) process.stdout.write(String(text))
