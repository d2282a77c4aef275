import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { SELF } from './place.ts'

test('servers of a demo run with the options of the launcher, and no name is a prototype there', () => {
  const launcher = readFileSync(new URL('../../../bareboat', import.meta.url), 'utf8')
  const options = /^exec "\$node" (.*) "\$here\/src\/main.ts"/m.exec(launcher)![1]!.split(' ')
  assert.deepEqual(SELF.slice(1, -1), options)
  const { status, stderr } = spawnSync(process.execPath, [...options, '-e', '({}).__proto__.isAdmin = true'], {
    encoding: 'utf8',
  })
  assert.equal(status, 1)
  assert.match(stderr, /ERR_PROTO_ACCESS/)
})
