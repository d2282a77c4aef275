/** The command line of QEMU for one machine, as a pure function. Descriptor 3 is its serial line, standard input and output QMP. */
import { type MachineSpec, type Nic, tapName } from './plan.ts'

/** What the BMC was told to boot from; `none`: as the firmware is set. */
export const BOOT_DEVICES = ['none', 'pxe', 'disk', 'cdrom', 'bios'] as const
export type BootDevice = (typeof BOOT_DEVICES)[number]

export interface Launch {
  readonly accel: 'kvm' | 'tcg'
  readonly boot: BootDevice
  readonly nvram: string
  readonly disk: string
}

export const QEMU = 'qemu-system-x86_64'
/** Debian's ovmf: code is shared and read-only, variables are copied for each machine. */
export const OVMF_CODE = '/usr/share/OVMF/OVMF_CODE_4M.fd'
export const OVMF_VARS = '/usr/share/OVMF/OVMF_VARS_4M.fd'

const NIC_DEVICES: Readonly<Record<Nic, string>> = { virtio: 'virtio-net-pci', e1000: 'e1000' }

/**
 * The arguments of QEMU (without the program's name).
 *
 * `-no-reboot`: a reset of the guest ends QEMU, and the keeper starts it again, so that a boot device that was set for one start
 * only is not used twice. `graphics=off` makes SeaBIOS and its option ROMs write to the serial line.
 */
export function qemuArguments(machine: MachineSpec, launch: Launch): string[] {
  return [
    ...['-name', machine.name, '-no-user-config', '-nodefaults', '-no-reboot', '-display', 'none', '-vga', 'none'],
    ...(launch.accel === 'kvm' ? ['-accel', 'kvm', '-cpu', 'host'] : ['-accel', 'tcg,thread=single']),
    ...['-machine', `${machine.firmware === 'uefi' ? 'q35' : 'pc'},graphics=off`],
    ...['-smp', '1', '-m', String(machine.memoryMiB)],
    ...['-uuid', machine.uuid],
    ...['-smbios', `type=1,manufacturer=Bareboat,product=Rack,serial=${machine.serial},uuid=${machine.uuid}`],
    ...(machine.firmware === 'uefi' ? pflash(launch.nvram) : []),
    ...['-chardev', 'stdio,id=qmp,signal=off', '-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', 'socket,id=serial,fd=3', '-serial', 'chardev:serial'],
    ...['-device', 'virtio-rng-pci'],
    ...['-boot', 'strict=on'],
    ...nic(machine, launch.boot),
    ...(machine.diskMiB > 0 ? disk(launch) : []),
  ]
}

function pflash(nvram: string): string[] {
  return [
    ...['-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${OVMF_CODE}`],
    ...['-drive', `if=pflash,unit=1,format=raw,file=${escapeComma(nvram)}`],
  ]
}

function nic(machine: MachineSpec, boot: BootDevice): string[] {
  const tap = tapName(machine.index)
  const order = bootOrder(boot, machine.diskMiB > 0).indexOf('network')
  return [
    ...['-netdev', `tap,id=net0,ifname=${tap},script=no,downscript=no`],
    '-device',
    `${NIC_DEVICES[machine.nic]},netdev=net0,mac=${machine.mac}` +
      (order < 0 ? '' : `,bootindex=${order + 1}`) +
      (machine.nicRom === 'firmware' ? ',romfile=' : ''),
  ]
}

function disk(launch: Launch): string[] {
  const order = bootOrder(launch.boot, true).indexOf('disk')
  return [
    ...['-drive', `if=none,id=disk0,format=raw,cache=writeback,discard=unmap,file=${escapeComma(launch.disk)}`],
    ...['-device', `virtio-blk-pci,drive=disk0,serial=disk0${order < 0 ? '' : `,bootindex=${order + 1}`}`],
  ]
}

/** As hardware ships: the disk first, the network when that does not boot. */
function bootOrder(boot: BootDevice, hasDisk: boolean): ('network' | 'disk')[] {
  if (!hasDisk) return boot === 'disk' ? [] : ['network']
  if (boot === 'disk') return ['disk']
  return boot === 'pxe' ? ['network', 'disk'] : ['disk', 'network']
}

/** QEMU's option parser takes a comma in a value only when it is doubled. */
function escapeComma(path: string): string {
  return path.replaceAll(',', ',,')
}
