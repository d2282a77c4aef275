/** The scripts that run on machines are POSIX sh, judged by shellcheck. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { test } from 'node:test'

const skip = spawnSync('shellcheck', ['--version']).error ? 'not installed: shellcheck' : false

test('every script of guest/ passes shellcheck', { skip }, () => {
  const scripts = [...globSync('guest/init'), ...globSync('guest/{lib,agent,tools}/*')]
  assert.ok(scripts.length > 20, `${scripts.length} scripts found`)
  const { status, stdout } = spawnSync('shellcheck', ['-s', 'sh', ...scripts], { encoding: 'utf8' })
  assert.equal(status, 0, stdout)
})
