import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseReport } from '../../formats/hardware/report.ts'
import { inventory as inventorySchema } from '../../model/inventory.ts'
import { inventoryOf, macsOf } from './inventory.ts'

const PACKETS = join(import.meta.dirname, '../../../test/packets/smbios')
const ENTRY = Buffer.from('5f534d335fab180303000100', 'hex').toString('base64')
const smbios = (name: string) =>
  `smbios\tentry=${ENTRY}\ttable=${readFileSync(join(PACKETS, `${name}.dmi`)).toString('base64')}`
const reportOf = (...lines: string[]) => parseReport(Buffer.from(['bareboat-hardware 1', ...lines, ''].join('\n')))

test('inventoryOf: a machine with an SMBIOS table', () => {
  const report = reportOf(
    'system\tarch=x86_64\tfirmware=bios\tmemory_kib=65000000',
    'cpu\tsockets=2\tcores=16\tthreads=32\tmodel=not asked for',
    'nic\tname=eth0\tmac=00:25:90:EB:96:28\tdriver=igb\tcarrier=1\tspeed=10000\tpci=0000:01:00.0',
    'nic\tname=eth1\tmac=00:00:00:00:00:00\tdriver=igb\tcarrier=0',
    'pci\taddress=0000:01:00.0\tclass=0x020000\tvendor=0x8086\tdevice=0x1521\tdriver=igb',
    'pci\taddress=0000:02:00.0\tclass=0x020000\tvendor=0x15b3\tdevice=0x1017',
    'pci\taddress=0000:06:00.0\tclass=0x030200\tvendor=0x10de\tdevice=0x15f8',
    'disk\tname=sda\tbytes=4000787030016\ttransport=sata\tvendor=ATA\tmodel=WDC\tserial=W-1\trotational=1',
    'disk\tname=sdb\tbytes=1000\ttransport=scsi\tvendor=SEAGATE\trotational=0',
    'disk\tname=nvme0n1\tbytes=2000\ttransport=nvme\trotational=0\twwid=eui.1',
    'disk\tname=vda\tbytes=3000\ttransport=virtio\tvendor=0x1af4\trotational=1',
    'tpm\tversion=2',
    'bmc\tfirmware=3.88',
    smbios('SuperMicro-Dual-Xeon'),
  )
  const made = inventoryOf(report, 1_700_000_000_000)
  assert.deepEqual(inventorySchema.parse(made), made)
  assert.deepEqual(made.system, {
    ...{ manufacturer: 'Supermicro', model: 'SYS-1027R-WRF', serial: 'E09626824801435' },
    ...{ uuid: '00000000-0000-0000-0000-002590eb9628', biosVersion: '3.0c', powerState: 'on' },
  })
  assert.deepEqual(
    made.cpus.map(({ name, cores, threads }) => [name, cores, threads]),
    [
      ['CPU 1', 8, 16],
      ['CPU 2', 8, 16],
    ],
  )
  assert.deepEqual([made.memory.totalMiB, made.memory.modules.length], [16 * 4096, 16])
  assert.deepEqual(made.nics, [
    { name: 'eth0', mac: '00:25:90:eb:96:28', hasLink: true, speedMbps: 10_000, driver: 'igb' },
    { name: 'eth1', hasLink: false, driver: 'igb' },
    { name: '0000:02:00.0', model: '15b3:1017' },
  ])
  assert.deepEqual(
    made.disks.map(({ name, kind, manufacturer, serial }) => [name, kind, manufacturer, serial]),
    [
      ['sda', 'hdd', undefined, 'W-1'],
      ['sdb', 'ssd', 'SEAGATE', undefined],
      ['nvme0n1', 'nvme', undefined, undefined],
      ['vda', 'other', undefined, undefined],
    ],
  )
  assert.deepEqual(made.gpus, [{ manufacturer: 'NVIDIA', model: '10de:15f8', pci: '0000:06:00.0' }])
  assert.deepEqual([made.tpm, made.bmc], [{ version: '2.0' }, { firmware: '3.88' }])
  assert.deepEqual(made.notes, ['network controller 0000:02:00.0 (15b3:1017) has no driver in this kit'])
  assert.deepEqual(macsOf(report), ['00:25:90:eb:96:28'])
})

test('inventoryOf: a board that is no system has the names of the board', () => {
  const { system } = inventoryOf(reportOf(smbios('ASRock-Single-Ryzen')), 0)
  assert.deepEqual([system.manufacturer, system.model, system.serial], ['ASRockRack', 'X570D4U', '209624590000277'])
})

test('inventoryOf: without SMBIOS, processors and memory are those that the kernel has', () => {
  const made = inventoryOf(
    reportOf('system\tmemory_kib=2097152\tarch=aarch64', 'cpu\tsockets=2\tcores=8\tthreads=8'),
    0,
  )
  assert.deepEqual(made.cpus, [
    { architecture: 'aarch64', cores: 4, threads: 4 },
    { architecture: 'aarch64', cores: 4, threads: 4 },
  ])
  assert.deepEqual(made.memory, { totalMiB: 2048, modules: [] })
  assert.deepEqual(made.notes, ['the firmware has no SMBIOS table: no serial number, no UUID'])
})

test('inventoryOf: a report of nothing is an inventory of nothing', () => {
  const made = inventoryOf(reportOf(), 0)
  assert.deepEqual(inventorySchema.parse(made), made)
  assert.deepEqual([made.cpus, made.nics, made.disks, made.memory], [[], [], [], { modules: [] }])
})
