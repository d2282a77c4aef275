import assert from 'node:assert/strict'
import { test } from 'node:test'
import { differences, planRack, type RackOptions } from './plan.ts'

const ID = '0123456789abcdef0123456789abcdef'

test('planRack: MAC, UUID and serial follow from the name and the index alone', () => {
  const [first, second] = planRack({}, ID).machines
  assert.equal(first!.mac, '52:54:00:29:00:01')
  assert.equal(second!.mac, '52:54:00:29:00:02')
  assert.equal(first!.serial, 'RACK-DEFAULT-01')
  assert.equal(first!.bmcAddress, '172.29.0.101')
  assert.match(first!.uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.notEqual(first!.uuid, second!.uuid)
  assert.deepEqual(planRack({ memoryMiB: 512 }, 'f'.repeat(32)).machines[0]!.uuid, first!.uuid)
})

test('planRack: machines of two racks differ', () => {
  const [one, other] = ['one', 'other'].map((name) => planRack({ name }, ID).machines[0]!)
  assert.notEqual(one!.mac, other!.mac)
  assert.notEqual(one!.uuid, other!.uuid)
  assert.notEqual(one!.mac.split(':')[4], '00')
})

const roms = [
  { firmware: 'bios', nic: 'virtio', rom: 'ipxe' },
  { firmware: 'uefi', nic: 'virtio', rom: 'firmware' },
  { firmware: 'uefi', nic: 'virtio', nicRom: 'ipxe', rom: 'ipxe' },
  { firmware: 'uefi', nic: 'e1000', rom: 'ipxe' },
  { firmware: 'uefi32', nic: 'virtio', rom: 'firmware' },
  { firmware: 'uefi32', nic: 'e1000', error: /32-bit UEFI boots by its firmware and a virtio NIC alone/ },
  { firmware: 'uefi32', nic: 'virtio', nicRom: 'ipxe', error: /32-bit UEFI boots by its firmware/ },
  { firmware: 'bios', nic: 'virtio', nicRom: 'firmware', error: /SeaBIOS has no PXE/ },
  { firmware: 'uefi', nic: 'e1000', nicRom: 'firmware', error: /OVMF has no driver for e1000/ },
] as const
for (const { rom, error, ...options } of roms.map((row) => ({ rom: undefined, error: undefined, ...row })))
  test(`planRack: the NIC ROM of ${Object.values(options).join(' ')}`, () => {
    if (error) return assert.throws(() => planRack(options, ID), error)
    assert.equal(planRack(options, ID).machines[0]!.nicRom, rom)
  })

const refused: { options: RackOptions; error: RegExp }[] = [
  { options: { name: '../x' }, error: /Cannot name a rack "\.\.\/x"/ },
  { options: { name: '' }, error: /Cannot name a rack ""/ },
  { options: { machines: 0 }, error: /machines is 0, not a whole number from 1 to 64/ },
  { options: { machines: 65 }, error: /machines is 65/ },
  { options: { machines: 1.5 }, error: /machines is 1\.5/ },
  { options: { memoryMiB: 8 }, error: /memory in MiB is 8/ },
  { options: { diskMiB: -1 }, error: /disk in MiB is -1/ },
  { options: { machines: 3, firmware: ['bios', 'uefi'] }, error: /2 firmwares are given for 3 machines/ },
  { options: { nic: 'rtl' as 'virtio' }, error: /nic "rtl" is none of virtio, e1000/ },
]
for (const { options, error } of refused)
  test(`planRack: refuses ${JSON.stringify(options)}`, () => {
    assert.throws(() => planRack(options, ID), error)
  })

const compared: { existing: RackOptions; asked: RackOptions; different: string[] }[] = [
  { existing: { machines: 4, diskMiB: 100 }, asked: {}, different: [] },
  {
    existing: {},
    asked: { machines: 2, firmware: 'bios', memoryMiB: 1024, nic: 'virtio', bmc: 'ipmi' },
    different: [],
  },
  { existing: { firmware: ['bios', 'uefi'] }, asked: {}, different: [] },
  { existing: {}, asked: { machines: 3 }, different: ['the number of machines is 2, not 3'] },
  { existing: {}, asked: { firmware: ['bios', 'uefi'] }, different: ['the firmware of rack-2 is bios, not uefi'] },
  { existing: { firmware: 'uefi' }, asked: { machines: 2 }, different: [] },
  {
    existing: { firmware: ['uefi', 'bios'] },
    asked: { machines: 3, memoryMiB: 512 },
    different: ['the number of machines is 2, not 3', 'the memory in MiB is 1024, not 512'],
  },
  { existing: {}, asked: { nic: 'e1000' }, different: ['the NIC is virtio, not e1000'] },
  { existing: {}, asked: { diskMiB: 10 }, different: ['the disk in MiB is 0, not 10'] },
  { existing: {}, asked: { bmc: 'http' }, different: ['the preferred BMC is ipmi, not http'] },
  {
    existing: { firmware: 'uefi', machines: 1 },
    asked: { nicRom: 'ipxe' },
    different: ['the NIC ROM of rack-1 is firmware, not ipxe'],
  },
]
for (const { existing, asked, different } of compared)
  test(`differences: ${JSON.stringify(existing)} asked ${JSON.stringify(asked)}`, () => {
    assert.deepEqual(differences(planRack(existing, ID), asked), different)
  })
