/** Containers on machines whose BMC can only switch on, as by Wake-on-LAN: seen by the network, switched off by our agent. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { poll, sleep } from '../../src/base/clock.ts'
import type { Container } from '../../src/model/container.ts'
import { STAGES } from '../../src/model/stage.ts'
import { openSmallSite, type SiteOptions } from '../fakes/small-site.ts'
import { World, type Behaviour } from '../fakes/world.ts'

const MAC = '52:54:00:00:00:01'

async function bench(t: TestContext, does: Partial<Behaviour> = {}, options: Partial<SiteOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'bareboat-life-'))
  const world = new World()
  const machine = world.machine(MAC, '10.0.0.7', { onlyWakes: true, ...does })
  const site = await openSmallSite({ folder, world, ...options })
  await site.addMachine('m1', MAC)
  await site.machines.change('m1', { ip: '10.0.0.7' })
  t.after(async () => {
    world.end()
    await site[Symbol.asyncDispose]()
    rmSync(folder, { recursive: true })
  })
  const untilState = async (id: string, state: Container['state']) => {
    const found = async () => ((await site.store.byId(id))?.state === state ? true : undefined)
    assert.ok(await poll(found, { everyMs: 2, deadlineMs: 20_000 }), `never came to "${state}"`)
  }
  return { site, machine, untilState }
}

test('an application runs on a machine that can only be woken: exit code, and off by the agent', async (t) => {
  const { site, machine } = await bench(t, { exitCode: 7 })
  const { id } = await site.run()
  const ended = await site.containers.wait(id, AbortSignal.timeout(20_000))
  assert.deepEqual([ended.state, ended.exitCode, ended.machineOff], ['exited', 7, true])
  assert.equal(await site.output(id), 'hello\n')
  assert.deepEqual([machine.commands, machine.isOn], [['on'], false])
})

test('stop of an operating system: its silence after the command means off', async (t) => {
  const { site, machine, untilState } = await bench(t, { exitCode: undefined }, { mode: 'os' })
  const { id } = await site.run()
  await untilState(id, 'running')
  const ended = await site.containers.stop(id)
  assert.deepEqual([ended.state, ended.exitCode, machine.isOn], ['exited', 0, false])
})

test('a kill while the firmware starts waits for the machine, which it cannot reach before', async (t) => {
  const { site, machine, untilState } = await bench(t, { exitCode: undefined, stageMs: 15 })
  const { id } = await site.run()
  await untilState(id, 'booting')
  const ended = await site.containers.kill(id, 'KILL')
  assert.deepEqual([ended.state, ended.machineOff, machine.isOn], ['exited', true, false])
})

test('a machine that hangs in iPXE cannot be switched off, and it is said so', async (t) => {
  const { site, machine, untilState } = await bench(t, { bootsTo: 'ipxe' })
  const { id } = await site.run()
  await untilState(id, 'booting')
  const atIpxe = async () => ((await site.store.byId(id))?.stage === 'ipxe' ? true : undefined)
  assert.ok(await poll(atIpxe, { everyMs: 2, deadlineMs: 20_000 }))
  await site.store.patch(id, { deadlineAt: Date.now() })
  const ended = await site.containers.wait(id, AbortSignal.timeout(20_000))
  assert.deepEqual([ended.state, ended.machineOff, machine.isOn], ['failed', false, true])
  assert.match(ended.cause ?? '', /could not be switched off: .*nothing but what runs on it can.*shut it down by hand/)
})

test('a machine that is on with something else is not woken, and nobody is told that it boots', async (t) => {
  const { site, machine } = await bench(t)
  machine.isOn = true
  machine.isOnNetwork = true
  const { id } = await site.run()
  const ended = await site.containers.wait(id, AbortSignal.timeout(20_000))
  assert.equal(ended.state, 'failed')
  assert.match(ended.cause ?? '', /no agent of ours answers there; shut it down by hand/)
  assert.deepEqual(machine.commands, [])
})

test('a machine that is silent for long while it runs has gone', async (t) => {
  const { site, machine, untilState } = await bench(t, { exitCode: undefined })
  const { id } = await site.run()
  await untilState(id, 'running')
  machine.setPower(false)
  const ended = await site.containers.wait(id, AbortSignal.timeout(20_000))
  assert.match(ended.cause ?? '', /the machine switched itself off after stage "running"/)
  assert.deepEqual([ended.state, ended.machineOff], ['failed', true])
})

test('power of a machine without a container: soft-off is refused, off says what is in the way', async (t) => {
  const { site, machine } = await bench(t)
  const stored = (await site.machineStore.list())[0]!
  await assert.rejects(site.power.set(stored, 'soft-off'), { code: 'unsupported' })
  await site.power.set(stored, 'off')
  assert.equal(await site.power.status(stored), 'off')
  await site.power.set(stored, 'on')
  assert.equal(machine.isOn, true)
  assert.equal(await site.power.status(stored), 'on')
  await assert.rejects(site.power.set(stored, 'off'), { code: 'unsupported', message: /Cannot switch off "m1"/ })
})

test('a machine that a person switches on: asked for, waited for beyond the budget of the stage, off by the agent', async (t) => {
  const { site, machine, untilState } = await bench(t, { isByHand: true, exitCode: 7 })
  const { id } = await site.run()
  await untilState(id, 'booting')
  const asked = (await site.events.history({ subjectId: id })).find(({ action }) => action === 'stage')
  assert.deepEqual([asked?.attributes['stage'], asked?.attributes['by']], ['power-on', 'hand'])
  await site.store.patch(id, { stagedAt: Date.now() - STAGES.dhcp.budgetSeconds * 2000 })
  await sleep(100)
  assert.equal((await site.store.byId(id))?.state, 'booting')
  machine.setPower(true)
  const ended = await site.containers.wait(id, AbortSignal.timeout(20_000))
  assert.deepEqual([ended.state, ended.exitCode, ended.machineOff, machine.isOn], ['exited', 7, true, false])
  assert.deepEqual(machine.commands, [])
})

test('a machine that nobody switched on ends with the time of the run; machine power on is refused', async (t) => {
  const { site, untilState } = await bench(t, { isByHand: true })
  const stored = (await site.machineStore.list())[0]!
  await assert.rejects(site.power.set(stored, 'on'), { code: 'unsupported', message: /switch it on by hand/ })
  const { id } = await site.run()
  await untilState(id, 'booting')
  await site.store.patch(id, { deadlineAt: Date.now() })
  const ended = await site.containers.wait(id, AbortSignal.timeout(20_000))
  assert.deepEqual([ended.state, ended.failedStage, ended.machineOff], ['failed', 'dhcp', true])
})
