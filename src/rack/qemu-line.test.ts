import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Media } from './medium.ts'
import { firmwareOrder, planRack, type BmcKind, type RackOptions } from './plan.ts'
import { type BootDevice, qemuArguments } from './qemu-line.ts'

interface Options extends RackOptions {
  readonly bmc?: BmcKind
  readonly media?: Media
}

function line({ media = {}, ...options }: Options, boot: BootDevice = 'none', accel: 'kvm' | 'tcg' = 'tcg'): string {
  const machine = planRack({ machines: 1, ...options }, '0'.repeat(32)).machines[0]!
  const files = { nvram: '/s/a,b/nvram.fd', disk: '/s/a,b/disk.img', drivesFile: '/s/a,b/drives.cfg' }
  const order = firmwareOrder(options.bmc ?? 'ipmi')
  return qemuArguments(machine, { accel, boot, order, media, ...files }).join(' ')
}

test('qemuArguments: a BIOS machine, whole', () => {
  assert.equal(
    line({ memoryMiB: 512 }),
    '-name rack-1 -no-user-config -nodefaults -no-reboot -display none -vga none -accel tcg,thread=single ' +
      '-machine pc,graphics=off -smp 1 -m 512 -uuid ed2f8541-e9e8-8951-8b64-6bb191b38102 ' +
      '-smbios type=1,manufacturer=Bareboat,product=Rack,serial=RACK-DEFAULT-01,uuid=ed2f8541-e9e8-8951-8b64-6bb191b38102 ' +
      '-chardev stdio,id=qmp,signal=off -mon chardev=qmp,mode=control -chardev socket,id=serial,fd=3 -serial chardev:serial ' +
      '-device virtio-rng-pci -boot strict=on -netdev tap,id=net0,ifname=tap1,script=no,downscript=no ' +
      '-device virtio-net-pci,netdev=net0,mac=52:54:00:29:00:01,bootindex=1 -device qemu-xhci,id=xhci',
  )
})

test('qemuArguments: UEFI has its own variables, and by default its own PXE', () => {
  const uefi = line({ firmware: 'uefi' })
  assert.match(uefi, /-machine q35,graphics=off/)
  assert.match(uefi, /if=pflash,unit=1,format=raw,file=\/s\/a,,b\/nvram\.fd/)
  assert.match(uefi, /bootindex=1,romfile= ?/)
  assert.doesNotMatch(line({ firmware: 'uefi', nicRom: 'ipxe' }), /romfile/)
  assert.match(
    line({ firmware: 'uefi32' }),
    /-machine q35,graphics=off,smm=on .*-global driver=cfi\.pflash01,property=secure,value=on .*file=\S+\/OVMF32_CODE/,
  )
})

const CD = { source: 'http://10.0.0.1/token/a.iso', isWritable: false }
const STICK = { source: '/s/a,b/stick.img', isWritable: true }

test('qemuArguments: drives that have a medium, after the devices that are always there, and no source among them', () => {
  assert.match(
    line({ media: { cd: CD, usb: STICK } }, 'usb'),
    /-device qemu-xhci,id=xhci -readconfig \/s\/a,b\/drives\.cfg -device usb-bot,id=cd-port,bus=xhci\.0 -device scsi-cd,id=cd,bus=cd-port\.0,lun=0,drive=cd-medium,bootindex=3 -device usb-bot,id=usb-port,bus=xhci\.0 -device scsi-hd,removable=on,id=usb,bus=usb-port\.0,lun=0,drive=usb-medium,bootindex=1$/,
  )
})

const both = { cd: CD, usb: STICK }
const first: { boot: BootDevice; bmc?: BmcKind; diskMiB?: number; media?: Media; order: string }[] = [
  { boot: 'none', media: both, order: 'virtio-net-pci scsi-cd scsi-hd' },
  { boot: 'none', media: both, diskMiB: 10, order: 'virtio-blk-pci virtio-net-pci scsi-cd scsi-hd' },
  { boot: 'cdrom', media: both, diskMiB: 10, order: 'scsi-cd virtio-blk-pci virtio-net-pci scsi-hd' },
  { boot: 'usb', media: both, order: 'scsi-hd virtio-net-pci scsi-cd' },
  { boot: 'cdrom', media: { usb: STICK }, order: 'virtio-net-pci scsi-hd' },
  { boot: 'disk', media: both, diskMiB: 10, order: 'virtio-blk-pci' },
  { boot: 'none', bmc: 'pikvm', media: both, diskMiB: 10, order: 'scsi-cd scsi-hd virtio-net-pci virtio-blk-pci' },
  { boot: 'none', bmc: 'wol', diskMiB: 10, order: 'virtio-net-pci virtio-blk-pci' },
]
for (const { boot, order, ...options } of first)
  test(`qemuArguments: ${boot} ${JSON.stringify(options)} boots ${order}`, () => {
    const indexed = line(options, boot)
      .split(' ')
      .flatMap((arg) => {
        const index = /bootindex=(\d)/.exec(arg)?.[1]
        return index === undefined ? [] : [[Number(index), arg.split(',')[0]!] as const]
      })
    assert.equal(
      indexed
        .toSorted(([one], [other]) => one - other)
        .map(([, device]) => device)
        .join(' '),
      order,
    )
  })

const orders: { boot: BootDevice; diskMiB: number; network: string; disk: string }[] = [
  { boot: 'none', diskMiB: 0, network: '1', disk: 'none' },
  { boot: 'pxe', diskMiB: 0, network: '1', disk: 'none' },
  { boot: 'disk', diskMiB: 0, network: '', disk: 'none' },
  { boot: 'none', diskMiB: 10, network: '2', disk: '1' },
  { boot: 'pxe', diskMiB: 10, network: '1', disk: '2' },
  { boot: 'disk', diskMiB: 10, network: '', disk: '1' },
]
for (const { boot, diskMiB, network, disk } of orders)
  test(`qemuArguments: the boot order of ${boot} with ${diskMiB} MiB of disk`, () => {
    const args = line({ diskMiB }, boot).split(' ')
    const indexOf = (device: string): string => {
      const found = args.find((arg) => arg.startsWith(device))
      return found === undefined ? 'none' : (/bootindex=(\d)/.exec(found)?.[1] ?? '')
    }
    assert.deepEqual([indexOf('virtio-net-pci'), indexOf('virtio-blk-pci')], [network, disk])
  })

test('qemuArguments: KVM where it was found to be of use, e1000 where it is asked', () => {
  assert.match(line({}, 'none', 'kvm'), /-accel kvm -cpu host/)
  assert.match(line({ nic: 'e1000' }), /-device e1000,netdev=net0/)
})
