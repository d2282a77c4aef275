/** The PiKVM driver against the ways in which boards and their wiring go wrong, each an option of the simulated PiKVM. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { quietLog } from '../../src/base/log.ts'
import { createPikvmBmc, type PikvmBmcOptions } from '../../src/drivers/bmc/pikvm/pikvm-bmc.ts'
import { startPikvmSim, type PikvmSimOptions } from '../fakes/pikvm-sim.ts'

const patience = { offMs: 20, pollMs: 20, deadlineMs: 5000 }

async function rig(options: PikvmSimOptions, more: Partial<PikvmBmcOptions> = {}) {
  const stack = new AsyncDisposableStack()
  const sim = stack.use(await startPikvmSim(options))
  const login = { host: '127.0.0.1', port: sim.port, isTls: false, user: 'admin', password: 'secret' }
  const bmc = stack.use(createPikvmBmc({ ...login, log: quietLog, patience, busyMs: 5, timeoutMs: 2000, ...more }))
  return { sim, bmc, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

test('soft-off is a short press, off a long one', async () => {
  await using it = await rig({ isOn: true })
  await it.bmc.set('soft-off')
  await it.bmc.set('on')
  await it.bmc.set('off')
  assert.deepEqual(it.sim.trace, ['soft-off', 'on', 'off'])
})

test('a LED that shows 400 ms later: done means seen, and no button is pressed twice', async () => {
  await using it = await rig({ ledLagMs: 400 })
  await it.bmc.set('on')
  assert.equal(it.sim.isLedOn, true)
  await it.bmc.set('cycle')
  assert.deepEqual(it.sim.trace, ['on', 'off', 'on'])
})

test('a PiKVM that says 200 and does nothing is a timeout that says what it still says', async () => {
  await using it = await rig({ ignoresPower: true }, { patience: { ...patience, deadlineMs: 300 } })
  await assert.rejects(it.bmc.set('on'), { code: 'timeout', message: /took the command "on".*still says "off"/ })
  assert.deepEqual(it.sim.trace, ['on'])
})

test('a LED that is not wired is a timeout, and the button was pressed once', async () => {
  await using it = await rig({ noLed: true }, { patience: { ...patience, deadlineMs: 300 } })
  await assert.rejects(it.bmc.set('on'), { code: 'timeout', message: /still says "off"/ })
  assert.deepEqual(it.sim.trace, ['on'])
})

test('commands whose answers are lost are done once each', async () => {
  await using it = await rig({ losesAnswers: true })
  await it.bmc.set('on')
  await it.bmc.set('cycle')
  assert.deepEqual(it.sim.trace, ['on', 'off', 'on'])
})

test('a board that is busy is asked again; one that stays so is an error', async () => {
  await using it = await rig({ busyTimes: 3 })
  await it.bmc.set('on')
  assert.deepEqual(it.sim.trace, ['on'])
  await using busy = await rig({ busyTimes: 1000 })
  await assert.rejects(busy.bmc.set('on'), { code: 'conflict', message: /AtxIsBusyError: told by/ })
})

test('a board that is disabled cannot be asked for anything', async () => {
  await using it = await rig({ isAtxDisabled: true })
  await assert.rejects(it.bmc.status(), { code: 'unsupported', message: /ATX board is disabled/ })
  await assert.rejects(it.bmc.set('on'), { code: 'unsupported' })
})

test('a wrong password is said, and is in no message', async () => {
  await using it = await rig({ password: 'other' }, { password: 'canary' })
  await assert.rejects(
    it.bmc.set('on'),
    (e: Error) => /user or password is wrong/.test(e.message) && !e.message.includes('canary'),
  )
  assert.throws(() => createPikvmBmc({ host: 'h', user: 'admin', password: 'canary\r\nx: y', log: quietLog }), {
    code: 'invalid',
    message: /printable ASCII/,
  })
})

for (const garbage of ['<html>', '{"ok":true,"result":{}}', '{"ok":true', `"${'x'.repeat(2 * 1024 * 1024)}"`])
  test(`an answer of ${garbage.slice(0, 20)} for a state is an error`, async () => {
    await using it = await rig({ garbage })
    await assert.rejects(it.bmc.status(), { message: /PiKVM/ })
  })

test('the drive: written, chosen, connected, and taken away again, as in a boot from media', async () => {
  await using it = await rig({})
  const { msd } = it.bmc
  const parts = async function* () {
    yield new Uint8Array(3)
    yield new Uint8Array(4)
  }
  await msd.write('a.img', parts(), 7)
  assert.equal(it.sim.images.get('a.img'), 7)
  await msd.writeRemote('b.iso', 'http://10.0.0.1/b.iso')
  assert.deepEqual((await msd.status()).images, ['a.img', 'b.iso'])
  await msd.setParameters({ image: 'b.iso', isCdrom: true, isWritable: false })
  await msd.setConnected(true)
  await msd.setConnected(true)
  assert.deepEqual((await msd.status()).drive, { image: 'b.iso', isConnected: true, isCdrom: true, isWritable: false })
  await assert.rejects(msd.setParameters({ image: 'a.img', isCdrom: false, isWritable: true }), {
    code: 'conflict',
    message: /MsdConnectedError/,
  })
  await msd.setConnected(false)
  await msd.setParameters({ image: 'a.img', isCdrom: false, isWritable: true })
  await msd.remove('b.iso')
  assert.deepEqual((await msd.status()).images, ['a.img'])
})

test('the drive: what it declines, and what it keeps although it said ok', async () => {
  await using it = await rig({ keepsDrive: true })
  const { msd } = it.bmc
  await assert.rejects(msd.setConnected(true), { code: 'conflict', message: /MsdImageNotSelected/ })
  await assert.rejects(msd.setParameters({ image: 'x', isCdrom: true, isWritable: false }), { code: 'conflict' })
  await msd.writeRemote('x', 'http://10.0.0.1/x')
  await assert.rejects(msd.setParameters({ image: 'x', isCdrom: true, isWritable: false }), {
    code: 'bad_peer',
    message: /kept what it had/,
  })
  await using away = await rig({ isMsdOffline: true })
  assert.equal((await away.bmc.msd.status()).isOnline, false)
})

test('a download that ends badly, and one that is cut off', async () => {
  await using bad = await rig({ remoteEnds: 'badly' })
  await assert.rejects(bad.bmc.msd.writeRemote('x', 'http://10.0.0.1/x'), { message: /MsdError: no space/ })
  await using cut = await rig({ remoteEnds: 'cut' })
  await assert.rejects(cut.bmc.msd.writeRemote('x', 'http://10.0.0.1/x'), {
    code: 'bad_peer',
    message: /Cannot understand PiKVM/,
  })
})
