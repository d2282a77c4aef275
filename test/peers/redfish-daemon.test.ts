/** A machine whose BMC speaks Redfish, by command line and daemon. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { SELF } from '../../src/cli/demo/place.ts'
import { startRedfishSim } from '../fakes/redfish-sim.ts'
import { startDaemon } from './durable-daemon.ts'

test('machine add, set and power over Redfish, by CLI and daemon', { timeout: 120_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-redfish-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  await using sim = await startRedfishSim({ systems: ['Node0', 'Node1'], powerDelayMs: 50 })
  const url = `redfish+http://admin@127.0.0.1:${sim.port}`
  await using daemon = startDaemon(folder)
  assert.ok(await daemon.isReady(), daemon.said())
  const bareboat = (...args: string[]) =>
    new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
      const env = { ...process.env, HOME: folder, BAREBOAT_BMC_PASSWORD: 'secret' }
      const [program, ...words] = [...SELF, '--host', `unix://${join(folder, 'api.sock')}`, ...args]
      execFile(program!, words, { env }, (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }))
    })

  assert.equal((await bareboat('machine', 'add', 'm1', '--mac', '52:54:00:00:00:01', '--bmc', url)).code, 0)
  const several = await bareboat('machine', 'power', 'm1')
  assert.equal(several.code, 2)
  assert.match(several.stderr, /it has Node0, Node1; name one in its URL: \?system=Node0/)
  assert.equal((await bareboat('machine', 'set', 'm1', '--bmc', `${url}?system=Node1`)).code, 0)
  for (const [action, state] of [
    ['on', 'on'],
    ['cycle', 'on'],
    ['off', 'off'],
  ] as const)
    assert.deepEqual(await bareboat('machine', 'power', 'm1', action), { code: 0, stdout: `${state}\n`, stderr: '' })
  assert.deepEqual(sim.trace, ['on', 'off', 'on', 'off'])
  const tls = await bareboat('machine', 'set', 'm1', '--bmc', `redfish://admin@127.0.0.1:${sim.port}?fingerprint=ab`)
  assert.equal(tls.code, 2)
  daemon.child.kill('SIGTERM')
  assert.equal(await daemon.ended, 0)
  assert.equal(sim.sessions, 0, 'the session is closed with the daemon')
  assert.doesNotMatch(daemon.said(), /secret/)
})
