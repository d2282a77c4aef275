import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Inventory } from '../../model/inventory.ts'
import { createWipes } from './wipes.ts'

const INVENTORY = {
  disks: [
    { name: 'sda', serial: 'S1', sizeBytes: 1000 },
    { name: 'sdb', serial: 'S2', sizeBytes: 2000 },
    { name: 'sdc', serial: 'TWIN' },
    { name: 'sdd', serial: 'TWIN' },
    { name: 'sde' },
  ],
} as unknown as Inventory
const TARGET = { machineId: 'm', machineName: 'rack1-07' }
const ask = (wipes: ReturnType<typeof createWipes>, disks: string[], confirm = 'rack1-07') =>
  wipes.ask(TARGET, INVENTORY, { disks, method: 'fast', confirm })

for (const { name, disks, confirm, error } of [
  { name: 'another name typed', disks: ['S1'], confirm: 'rack1-08', error: /"rack1-08" was typed in confirmation/ },
  { name: 'nothing typed', disks: ['S1'], confirm: '', error: /"" was typed in confirmation, not its name/ },
  {
    name: 'a disk that is not there',
    disks: ['S1', 'S9'],
    error: /no disk has the serial number "S9"; there are S1, S2, TWIN, TWIN, sde \(no serial number\)/,
  },
  { name: 'two disks of one serial number', disks: ['TWIN'], error: /2 disks have the serial number "TWIN"/ },
  { name: 'a name of a disk is no serial number', disks: ['sda'], error: /no disk has the serial number "sda"/ },
])
  test(`wipes: ${name}: nothing is done`, () => {
    const wipes = createWipes(() => 0)
    assert.throws(() => ask(wipes, disks, confirm), error)
    assert.deepEqual(wipes.of('m'), [])
  })

test('wipes: one after the other; the order for one is repeated until its end is told; an end is told once', () => {
  const wipes = createWipes(() => 7)
  const [first, second] = ask(wipes, ['S1', 'S2', 'S1'])
  assert.deepEqual([first!.serial, second!.serial, wipes.of('m').length], ['S1', 'S2', 2])
  assert.equal(wipes.next('m')!.id, first!.id)
  assert.equal(wipes.next('m')!.id, first!.id)
  assert.throws(() => ask(wipes, ['S2']), /a disk of it is being wiped/)
  assert.equal(wipes.end('another', first!.id, { verified: undefined }), undefined)
  assert.equal(wipes.end('m', first!.id, { verified: 'all zeros' })!.state, 'done')
  assert.equal(wipes.end('m', first!.id, { cause: 'late' }), undefined)
  assert.equal(wipes.next('m')!.id, second!.id)
  wipes.end('m', second!.id, { cause: 'cannot write: I/O error' })
  assert.equal(wipes.next('m'), undefined)
  assert.deepEqual(
    wipes.of('m').map(({ state, cause, verified, endedAt }) => [state, cause, verified, endedAt]),
    [
      ['done', undefined, 'all zeros', 7],
      ['failed', 'cannot write: I/O error', undefined, 7],
    ],
  )
})

test('wipes: of a machine that left, one that was begun is not known, one that was not is said to be untouched', () => {
  const wipes = createWipes(() => 0)
  ask(wipes, ['S1', 'S2'])
  wipes.next('m')
  assert.deepEqual(
    wipes.abandon('m').map(({ state, cause }) => [state, cause]),
    [
      ['failed', 'the machine was not heard of any more; what is on the disk is not known'],
      ['failed', 'the machine left the agent before it was begun'],
    ],
  )
  assert.deepEqual(wipes.abandon('m'), [])
})
