import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { sleep } from '../base/clock.ts'
import { openQmp } from './qmp.ts'

function rig(deadlineMs = 5000) {
  const fromQemu = new PassThrough()
  const toQemu = new PassThrough()
  const qmp = openQmp(fromQemu, toQemu, deadlineMs)
  let heard = ''
  toQemu.on('data', (bytes: Buffer) => (heard += bytes.toString()))
  return {
    qmp,
    say: (message: object): void => void fromQemu.write(`${JSON.stringify(message)}\n`),
    /** The id of the last command with this name. */
    async idOf(execute: string): Promise<number> {
      await sleep(1)
      const lines = heard.trim().split('\n')
      return lines
        .map((line) => JSON.parse(line) as { execute: string; id: number })
        .findLast((one) => one.execute === execute)!.id
    },
    end: () => fromQemu.end(),
  }
}

test('the negotiation is left first', async () => {
  assert.equal(await rig().idOf('qmp_capabilities'), 1)
})

test('each answer goes to the command that it is of', async () => {
  const { qmp, say, idOf } = rig()
  const [one, other] = [qmp.ask('cont'), qmp.ask('blockdev-add', { driver: 'raw' })]
  const refused = assert.rejects(other, { code: 'conflict', message: 'Cannot command QEMU: Duplicate nodes' })
  say({ id: await idOf('blockdev-add'), error: { class: 'GenericError', desc: 'Duplicate nodes' } })
  say({ event: 'RESUME' })
  say({ id: await idOf('cont'), return: {} })
  await refused
  await one
})

test('a removed device is one that QEMU has let go of; one that it does not know is an error at once', async () => {
  const { qmp, say, idOf } = rig()
  let isDone = false
  const removed = qmp.removeDevice('cd-port').then(() => (isDone = true))
  say({ id: await idOf('device_del'), return: {} })
  say({ event: 'DEVICE_DELETED', data: { device: 'cd', path: '/machine/peripheral/cd' } })
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(isDone, false)
  say({ event: 'DEVICE_DELETED', data: { device: 'cd-port' } })
  await removed
  const unknown = qmp.removeDevice('usb-port')
  say({ id: await idOf('device_del'), error: { desc: "Device 'usb-port' not found" } })
  await assert.rejects(unknown, /not found/)
})

test('QEMU that ends answers nothing more, and says why it ended', async () => {
  const { qmp, say, end } = rig()
  const asked = qmp.ask('cont')
  say({ event: 'SHUTDOWN', data: { guest: true, reason: 'guest-reset' } })
  end()
  await assert.rejects(asked, { code: 'conflict', message: /it has ended/ })
  await assert.rejects(qmp.ask('cont'), { code: 'conflict', message: /it has ended/ })
  assert.equal(qmp.shutdownReason, 'guest-reset')
})

test('QEMU that does not answer is not waited for', async () => {
  const { qmp } = rig(20)
  await assert.rejects(qmp.ask('cont'), { code: 'timeout' })
  await assert.rejects(qmp.removeDevice('cd-port'), { code: 'timeout' })
})
