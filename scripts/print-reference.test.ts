import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { REFERENCE_DIR, referencePages } from './print-reference.ts'

for (const [name, text] of referencePages())
  test(`docs/reference/${name} is what the code says`, () => {
    assert.equal(readFileSync(join(REFERENCE_DIR, name), 'utf8'), text, 'run: node scripts/print-reference.ts')
  })
