/** guest/lib/hardware, run by busybox on recorded machines and one that is made up, and read as the server reads it. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { parseReport, type HardwareReport } from '../../src/formats/hardware/report.ts'

const missing = ['busybox', 'tar'].filter((program) => spawnSync(program, ['--help']).error)
const skip = missing.length > 0 ? `not installed: ${missing.join(', ')}` : false
const PACKETS = join(import.meta.dirname, '../packets')
const SCRIPT = join(import.meta.dirname, '../../guest/lib/hardware')

const dir = mkdtempSync(join(tmpdir(), 'bareboat-hardware-'))
after(() => rmSync(dir, { recursive: true, force: true }))

function hardwareOf(root: string): HardwareReport {
  return parseReport(execFileSync('busybox', ['sh', SCRIPT, root]))
}

const RECORDED = [
  {
    name: 'linux-amd64-accel-nvidia',
    memoryKib: 30_601_816,
    cpu: { sockets: 1, cores: 8, threads: 8, model: 'Intel(R) Xeon(R) CPU E5-2695 v4 @ 2.10GHz' },
    pci: ['0x030000 0x1af4 virtio-pci', '0x020000 0x1af4 virtio-pci', '0x030200 0x10de nvidia'],
    disks: ['sda virtio 50000003072 rotational'],
  },
  {
    name: 'linux-amd64-amd-ryzen-1600',
    memoryKib: 32_777_916,
    cpu: { sockets: 1, cores: 6, threads: 12, model: 'AMD Ryzen 5 1600 Six-Core Processor' },
    pci: [...['0x020000 0x10ec -', '0x020000 0x8086 -', '0x020000 0x8086 -', '0x020000 0x10ec -'], '0x030000 0x1002 -'],
    disks: ['sda sata 256060514304 solid', 'sdb sata 1000204886016 rotational', 'sdc sata 500107862016 solid'],
  },
  {
    name: 'linux-amd64-intel-xeon-L5640',
    memoryKib: 65_921_280,
    cpu: { sockets: 2, cores: 12, threads: 24, model: 'Intel(R) Xeon(R) CPU L5640 @ 2.27GHz' },
    pci: [
      ...Array.from({ length: 4 }, () => '0x020000 0x14e4 bnx2'),
      ...Array.from({ length: 2 }, () => '0x020000 0x8086 igb'),
      ...Array.from({ length: 8 }, () => '0x020000 0x8086 igbvf'),
      '0x030000 0x102b mgag200',
    ],
    disks: ['sda scsi 499558383616 rotational'],
  },
  {
    name: 'linux-arm64-c288e0776090cd558ef793b2a4e61939',
    memoryKib: 1_888_980,
    cpu: { sockets: 1, cores: 1, threads: 1 },
    pci: ['0x020000 0x1d0f ena'],
    disks: ['nvme0n1 nvme 8589934592 solid'],
  },
]
for (const { name, memoryKib, cpu, pci, disks } of RECORDED)
  test(`hardware tells of ${name} what was recorded`, { skip }, () => {
    const root = join(dir, name)
    mkdirSync(root)
    execFileSync('tar', ['-xzf', join(PACKETS, 'sysfs', `${name}.tar.gz`), '-C', root])
    const report = hardwareOf(root)
    assert.equal(report.system.memory_kib, memoryKib)
    assert.deepEqual(report.cpu, cpu)
    assert.deepEqual(
      report.pci.map((each) => `${each.class} ${each.vendor} ${each.driver ?? '-'}`),
      pci,
    )
    assert.deepEqual(
      report.disks.map((d) => `${d.name} ${d.transport} ${d.bytes} ${d.rotational ? 'rotational' : 'solid'}`),
      disks,
    )
  })

test(
  'hardware tells serial numbers, links, TPM, BMC and SMBIOS; what has no device behind it is left out',
  { skip },
  () => {
    const root = join(dir, 'made')
    const put = (path: string, content: string | Uint8Array): void => {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), content)
    }
    const link = (path: string, target: string): void => {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      symlinkSync(target, join(root, path))
    }
    put('proc/meminfo', 'MemTotal:        1000000 kB\n')
    put('proc/cpuinfo', 'processor\t: 0\nprocessor\t: 1\n')
    const nic = 'sys/devices/pci0000:00/0000:00:03.0/net/eth0'
    for (const [file, text] of Object.entries({ type: '1', address: '52:54:00:12:34:56', carrier: '0', speed: '-1' }))
      put(`${nic}/${file}`, `${text}\n`)
    link(`${nic}/device`, '../../../0000:00:03.0')
    link('sys/devices/pci0000:00/0000:00:03.0/driver', '../../../bus/pci/drivers/e1000')
    link('sys/class/net/eth0', '../../devices/pci0000:00/0000:00:03.0/net/eth0')
    put('sys/devices/virtual/net/br0/type', '1\n')
    link('sys/class/net/br0', '../../devices/virtual/net/br0')
    const sata = 'sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0'
    put(`${sata}/block/sda/size`, '2048\n')
    put(`${sata}/vpd_pg80`, Buffer.concat([Buffer.from([0, 0x80, 0, 20]), Buffer.from('       WD-WMC1T0123456')]))
    put(`${sata}/model`, 'WDC WD40EFRX-68W\n')
    link(`${sata}/block/sda/device`, '../../../0:0:0:0')
    link('sys/block/sda', join('..', sata.slice(4), 'block/sda'))
    const nvme = 'sys/devices/virtual/nvme-subsystem/nvme-subsys0'
    put(`${nvme}/nvme0n1/size`, '4096\n')
    put(`${nvme}/nvme0n1/hidden`, '0\n')
    put(`${nvme}/serial`, 'S4YPNX0R      \n')
    link(`${nvme}/nvme0n1/device`, '../../nvme-subsys0')
    link('sys/block/nvme0n1', '../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1')
    put('sys/devices/virtual/block/loop0/size', '8\n')
    link('sys/block/loop0', '../devices/virtual/block/loop0')
    put('sys/class/tpm/tpm0/tpm_version_major', '2\n')
    put('sys/devices/platform/ipmi_bmc.0/firmware_revision', '2.41\n')
    put('sys/firmware/efi/fw_platform_size', '64\n')
    put('sys/firmware/dmi/tables/smbios_entry_point', Buffer.from('5f534d335fab180303000100', 'hex'))
    cpSync(join(PACKETS, 'smbios/SuperMicro-Dual-Xeon.dmi'), join(root, 'sys/firmware/dmi/tables/DMI'))

    const { system, cpu, nics, disks, tpm, bmc, smbios, notes } = hardwareOf(root)
    assert.deepEqual([system.firmware, system.memory_kib], ['uefi', 1_000_000])
    assert.deepEqual(cpu, { sockets: 1, cores: 2, threads: 2 })
    assert.deepEqual(nics, [
      { name: 'eth0', mac: '52:54:00:12:34:56', driver: 'e1000', carrier: false, pci: '0000:00:03.0' },
    ])
    assert.deepEqual(disks, [
      { name: 'nvme0n1', bytes: 2_097_152, transport: 'nvme', serial: 'S4YPNX0R' },
      { name: 'sda', bytes: 1_048_576, transport: 'sata', model: 'WDC WD40EFRX-68W', serial: 'WD-WMC1T0123456' },
    ])
    assert.deepEqual([tpm, bmc], [{ version: '2' }, { firmware: '2.41' }])
    assert.deepEqual([smbios?.system.serial, notes], ['E09626824801435', []])
  },
)
