import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import fc from 'fast-check'
import { assignments, quoteWords } from './quote.ts'

test('quoteWords: a shell gives back exactly the words', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 20 }), { minLength: 1, maxLength: 5 }), (raw) => {
      const words = raw.map((word) => word.toWellFormed().replaceAll('\0', ''))
      const out = execFileSync('sh', ['-c', `printf '%s\\0' ${quoteWords(words)}`]).toString()
      assert.deepEqual(out.split('\0').slice(0, -1), words)
    }),
    { numRuns: 40 },
  )
})

test('assignments refuses a name that is not a variable', () => {
  assert.equal(assignments({ BB_NAME: "it's\n$(x)" }), "BB_NAME='it'\\''s\n$(x)'\n")
  assert.throws(() => assignments({ 'A;B': 'x' }), /Cannot assign/)
})
