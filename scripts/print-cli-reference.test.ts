import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { cliReference, REFERENCE_FILE } from './print-cli-reference.ts'

test('docs/reference/cli.md is what the tree of commands says (node scripts/print-cli-reference.ts --write)', async () => {
  assert.equal(readFileSync(REFERENCE_FILE, 'utf8'), await cliReference())
})

test('every command has an example', async () => {
  const text = await cliReference()
  const commands = text.split(/\n##+ (?=bareboat )/).slice(1)
  assert.ok(commands.length > 40, `only ${commands.length} commands`)
  const without = commands.filter((one) => one.includes('```\nbareboat') && !one.includes('```sh\n'))
  assert.deepEqual(
    without.map((one) => one.split('\n', 1)[0]),
    [],
  )
})
