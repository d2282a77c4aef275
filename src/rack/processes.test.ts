import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { poll } from '../base/clock.ts'
import { endProcesses, markedEnvironment, markedProcesses } from './processes.ts'

const rackId = randomBytes(16).toString('hex')

function start(id: string, script: string): ChildProcess {
  return spawn('sh', ['-c', script], { env: markedEnvironment(id), stdio: 'ignore' })
}

async function untilMarked(count: number): Promise<void> {
  const isSo = (): true | undefined => markedProcesses(rackId).length === count || undefined
  assert.ok(await poll(isSo, { everyMs: 10, deadlineMs: 5000 }), `${markedProcesses(rackId).length} are marked`)
}

test('endProcesses ends those that carry the mark and their children, by force if needed, and no others', async () => {
  const other = start('f'.repeat(32), 'sleep 60')
  start(rackId, 'sleep 60 & sleep 60')
  start(rackId, 'trap "" TERM; while :; do sleep 60; done')
  // Two shells, of which the first stays for its second sleep or becomes it, and their sleeps.
  const isUp = (): true | undefined => markedProcesses(rackId).length >= 4 || undefined
  assert.ok(await poll(isUp, { everyMs: 10, deadlineMs: 5000 }))
  await endProcesses(rackId, 200)
  await untilMarked(0)
  assert.equal(other.exitCode, null)
  assert.equal(other.signalCode, null)
  other.kill('SIGKILL')
})

test('endProcesses spares the caller and its ancestors', async () => {
  const program = new URL('./processes.ts', import.meta.url).href
  const script = `import { endProcesses } from '${program}'; await endProcesses('${rackId}', 100); console.log('alive')`
  const child = spawn('sh', ['-c', `"$0" --input-type=module -e "$1"; exit $?`, process.execPath, script], {
    env: markedEnvironment(rackId),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()))
  const code = await new Promise((resolve) => child.once('close', resolve))
  assert.deepEqual([code, said], [0, 'alive\n'])
})
