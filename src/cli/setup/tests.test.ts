import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addSums } from './tests.ts'

const output = (pass: number, fail: number) => `ℹ tests 9\nℹ pass ${pass}\nℹ fail ${fail}\nℹ cancelled 0\nℹ skipped 2\n`

test('addSums adds what the runner says, and counts a run that broke off as a failure', () => {
  const sums = { passed: 1, failed: 0, skipped: 0 }
  addSums(sums, output(5, 1), 1)
  assert.deepEqual(sums, { passed: 6, failed: 1, skipped: 2 })
  addSums(sums, '', 1)
  assert.deepEqual(sums, { passed: 6, failed: 2, skipped: 2 })
  addSums(sums, output(1, 0), 0)
  assert.deepEqual(sums, { passed: 7, failed: 2, skipped: 4 })
})
