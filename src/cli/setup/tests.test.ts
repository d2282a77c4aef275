import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { inOrder } from './tests.ts'

test('inOrder begins with what is named, and keeps the rest as it was', () => {
  const files = ['e2e/a.test.ts', 'e2e/long.test.ts', 'e2e/m.test.ts', 'e2e/roots.test.ts']
  assert.deepEqual(inOrder(files, ['roots', 'gone', 'long']), [files[3], files[1], files[0], files[2]])
})

test('a run of files adds what passes, fails, is skipped, hangs or does not even load', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-run-files-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const begin = "import { test } from 'node:test'\n"
  const files = [
    file(
      'b.test.mjs',
      `${begin}test('one', () => {})\ntest('two', () => { throw new Error('no') })\ntest.skip('three')`,
    ),
    file('a.test.mjs', `${begin}test('hangs', () => new Promise(() => setInterval(() => {}, 1000)))`),
    file('c.test.mjs', 'throw new Error("it does not load")'),
  ]
  // In a process that is no test: a runner does not run within another.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const words = [join(import.meta.dirname, 'test-files.ts'), '1', '500', ...files]
  const child = spawn(process.execPath, words, { env, stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
  let said = ''
  child.stdout!.on('data', (bytes: Buffer) => (said += bytes.toString()))
  const [[sums], [code]] = await Promise.all([once(child, 'message'), once(child, 'close')])
  assert.deepEqual(sums, { passed: 1, failed: 3, skipped: 1 }, said)
  assert.equal(code, 1)
  assert.match(said, /timed out after 500ms/)
  assert.ok(said.indexOf('one') < said.indexOf('hangs'), 'in the order of the files')
})
