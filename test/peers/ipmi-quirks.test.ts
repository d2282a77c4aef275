/** What BMCs of one make do over IPMI, and what a way that shows nothing gives way to. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { quietLog } from '../../src/base/log.ts'
import { createIpmiBmc, type IpmiBmcOptions } from '../../src/drivers/bmc/ipmi/ipmi-bmc.ts'
import { behaviourOf, QUIRKS, USUAL, type Make } from '../../src/drivers/bmc/ipmi/quirks.ts'
import type { PowerPatience } from '../../src/drivers/bmc/set-power.ts'
import { startBmcSim, type BmcSimOptions } from '../fakes/bmc-sim.ts'
import { hasProgram } from '../fakes/ipmi-sim.ts'
import { startPyghmiBmc } from '../fakes/pyghmi-bmc.ts'

const PYGHMI: Make = { deviceId: 0, firmware: '1.00', ipmiVersion: '2.0', manufacturerId: 0, productId: 0 }
const SUPERMICRO: Make = { ...PYGHMI, deviceId: 0x20, manufacturerId: 10876, productId: 0x0969, firmware: '1.68' }
const HP: Make = { ...PYGHMI, deviceId: 0x11, manufacturerId: 11, productId: 0x2000, firmware: '1.20' }
const HPE: Make = { ...HP, manufacturerId: 47196 }
const PXE = { device: 'pxe', firmware: 'uefi', once: true } as const

const patience = { offMs: 20, pollMs: 20, deadlineMs: 3000, softOffDeadlineMs: 600, nextWayMs: 150 }

async function rig(sim: BmcSimOptions, more: Partial<PowerPatience> = {}) {
  const stack = new AsyncDisposableStack()
  const fake = stack.use(await startBmcSim(sim))
  const bmc = stack.use(open({ port: fake.port, patience: { ...patience, ...more } }))
  return { sim: fake, bmc, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

function open(options: Partial<IpmiBmcOptions> & { port: number }) {
  return createIpmiBmc({ host: '127.0.0.1', user: 'admin', password: 'secret', log: quietLog, paceMs: 0, ...options })
}

test('every quirk has makes that have it and makes that do not', () => {
  const cases: readonly [Make, readonly string[]][] = [
    [PYGHMI, ['boot-device-only']],
    [{ ...PYGHMI, firmware: '2.01' }, []],
    [SUPERMICRO, ['lasting-uefi-disk-is-9', 'drops-boot-flags']],
    [{ ...SUPERMICRO, manufacturerId: 47488 }, ['lasting-uefi-disk-is-9', 'drops-boot-flags']],
    [HP, ['status-before-it-is-so']],
    [HPE, []],
  ]
  for (const [make, names] of cases) assert.deepEqual(behaviourOf(make).names, names)
  const seen = new Set(cases.flatMap(([, names]) => names))
  assert.deepEqual(
    QUIRKS.map(({ name }) => name).filter((name) => !seen.has(name)),
    [],
  )
  assert.deepEqual(behaviourOf(HPE).behaviour, USUAL)
})

test('a cycle whose "off" is taken and not done: the BMC\'s own cycle, done when the machine was seen off', async () => {
  await using it = await rig({ isOn: true, ignores: ['off'], cycleOffMs: 300 }, { offMs: 600 })
  await it.bmc.set('cycle')
  assert.deepEqual(it.sim.trace, ['off', 'cycle'])
  assert.deepEqual(
    it.sim.changes.map(({ isOn }) => isOn),
    [false, true],
  )
})

test('a cycle whose "off" the BMC does not have goes to its own cycle at once', async () => {
  await using it = await rig({ isOn: true, lacks: ['off'], cycleOffMs: 300 }, { nextWayMs: 60_000, offMs: 600 })
  await it.bmc.set('cycle')
  assert.deepEqual(it.sim.trace, ['cycle'])
})

test('an "off" alone never becomes a cycle: a typed error', async () => {
  await using it = await rig({ isOn: true, ignores: ['off'], cycleOffMs: 300 }, { deadlineMs: 600 })
  await assert.rejects(it.bmc.set('off'), { code: 'timeout', message: /took the command "off".*still says "on"/ })
  assert.deepEqual(it.sim.trace, ['off'])
})

test('soft-off that is not taken is a timeout, one that is not there says so; the machine is not cut off', async () => {
  await using deaf = await rig({ isOn: true, ignores: ['soft-off'] })
  await assert.rejects(deaf.bmc.set('soft-off'), { code: 'timeout', message: /still says "on"/ })
  assert.deepEqual([deaf.sim.isOn, deaf.sim.trace], [true, ['soft-off']])
  await using none = await rig({ isOn: true, lacks: ['soft-off'] })
  await assert.rejects(none.bmc.set('soft-off'), { code: 'unsupported', message: /"soft-off".*no such command/ })
  assert.equal(none.sim.isOn, true)
})

test('status that shows what was asked before it is so is not believed on an iLO', async () => {
  const lie = { ignoresPower: true, echoesPowerMs: 1000 }
  await using it = await rig({ ...lie, make: HP }, { deadlineMs: 2000 })
  await assert.rejects(it.bmc.set('on'), { code: 'timeout', message: /still says "off"/ })
  // The same lie of a BMC that is not in the table: what the quirk is for.
  await using other = await rig(lie)
  await other.bmc.set('on')
  assert.equal(other.sim.isOn, false)
})

test('an iLO that says the truth is believed after 4 s', { timeout: 20_000 }, async () => {
  await using it = await rig({ make: HP }, { deadlineMs: 12_000 })
  const startMs = performance.now()
  await it.bmc.set('on')
  assert.ok(performance.now() - startMs >= 4000)
  assert.deepEqual(it.sim.trace, ['on'])
})

test('a BMC that cannot say its state while power changes is asked until it can', async () => {
  await using it = await rig({ cannotSayMs: 500 })
  await it.bmc.set('on')
  assert.deepEqual(it.sim.trace, ['on'])
  await using never = await rig({ cannotSayMs: 60_000 }, { deadlineMs: 500 })
  await assert.rejects(never.bmc.set('on'), { code: 'timeout', message: /its state cannot be read/ })
})

for (const c of [
  { name: 'that keeps flags only when they are committed', does: { wantsCommit: true }, writes: 1 },
  { name: 'that keeps no flags once something was said about progress', does: { hatesProgress: true }, writes: 2 },
])
  test(`boot flags: a BMC ${c.name}`, async () => {
    await using it = await rig(c.does)
    await it.bmc.setBoot(PXE)
    assert.equal(Buffer.from(it.sim.bootFlags).toString('hex'), 'a004000000')
    assert.equal(it.sim.bootWrites.filter((write) => write === '5:a004000000').length, c.writes)
  })

test('boot flags that are gone when the machine is off are set again before it is switched on', async () => {
  await using it = await rig({ isOn: true, dropsBootFlags: true })
  await it.bmc.setBoot(PXE)
  await it.bmc.set('cycle')
  assert.equal(Buffer.from(it.sim.bootFlags).toString('hex'), 'a004000000')
  // Once is once: the next boot is not ours to decide.
  await it.bmc.set('cycle')
  assert.equal(Buffer.from(it.sim.bootFlags).toString('hex'), '0000000000')
})

test('Supermicro: the flags are kept over every event, and a lasting UEFI disk is selector 9', async () => {
  await using it = await rig({ make: SUPERMICRO })
  await it.bmc.setBoot({ device: 'disk', firmware: 'uefi', once: false })
  assert.equal(Buffer.from(it.sim.bootFlags).toString('hex'), 'e024000000')
  assert.ok(it.sim.bootWrites.includes('3:1f'), it.sim.bootWrites.join(' '))
  await it.bmc.setBoot({ device: 'disk', firmware: 'uefi', once: true })
  assert.equal(Buffer.from(it.sim.bootFlags).toString('hex'), 'a008000000')
  await using other = await rig({})
  await other.bmc.setBoot({ device: 'disk', firmware: 'uefi', once: false })
  assert.equal(Buffer.from(other.sim.bootFlags).toString('hex'), 'e008000000')
  assert.ok(other.sim.bootWrites.includes('3:08'))
})

describe('pyghmi', { skip: !hasProgram('fakebmc') && 'needs fakebmc (python3-pyghmi)' }, () => {
  test('power, and a boot override of which it reads back the device alone', { timeout: 120_000 }, async () => {
    await using fake = await startPyghmiBmc()
    await using bmc = open({ port: fake.port, patience: { ...patience, deadlineMs: 20_000 } })
    assert.equal(await bmc.status(), 'off')
    await bmc.setBoot(PXE)
    await bmc.set('on')
    assert.equal(await bmc.status(), 'on')
    await bmc.set('cycle')
    assert.equal(await bmc.status(), 'on')
    await bmc.set('off')
    assert.equal(await bmc.status(), 'off')
    // It answers every suite with 3; who does not allow that one is not logged in with it.
    await using strict = open({ port: fake.port, cipherSuites: [17] })
    await assert.rejects(strict.status(), { code: 'bad_peer', message: /suite 17 with other algorithms/ })
  })
})
