import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { findProcess, isProcess, signalProcess } from './process.ts'

test('findProcess: the one with these arguments, as long as it lives', async () => {
  const args = ['3600', `0.${process.pid}`]
  assert.equal(findProcess(args), undefined)
  const child = spawn('sleep', args, { stdio: 'ignore' })
  const exited = once(child, 'exit')
  await once(child, 'spawn')
  assert.equal(findProcess(args), child.pid)
  assert.equal(findProcess(args.slice(0, 1)), undefined)
  assert.ok(isProcess(child.pid!, args))
  assert.ok(!isProcess(process.pid, args))
  assert.ok(signalProcess(child.pid!, 'SIGKILL'))
  await exited
  assert.equal(findProcess(args), undefined)
  assert.ok(!signalProcess(child.pid!, 'SIGKILL'))
})
