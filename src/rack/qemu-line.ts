/** The command line of QEMU for one machine, as a pure function. Descriptor 3 is its serial line, standard input and output QMP. */
import { DRIVES, driveArguments, type Media } from './medium.ts'
import { type BootPart, type Firmware, type MachineSpec, type Nic, tapName } from './plan.ts'

/** What the BMC was told to boot from; `none`: as the firmware is set. */
export const BOOT_DEVICES = ['none', 'pxe', 'disk', 'cdrom', 'usb', 'bios'] as const
export type BootDevice = (typeof BOOT_DEVICES)[number]

export interface Launch {
  readonly accel: 'kvm' | 'tcg'
  readonly boot: BootDevice
  /** The boot order that its firmware is set to. */
  readonly order: readonly BootPart[]
  /** What is in its drives from the start; `drivesFile` is their `drivesConfig`. */
  readonly media: Media
  readonly drivesFile: string
  readonly nvram: string
  readonly disk: string
}

export const QEMU = 'qemu-system-x86_64'

interface Ovmf {
  readonly code: string
  readonly vars: string
  /** Debian's name of what they are in. */
  readonly package: string
  /** Keeps its variables from the operating system, by System Management Mode: it does not start without. */
  readonly needsSmm: boolean
}

/** Code is shared and read-only, variables are copied for each machine. */
export const OVMF: Readonly<Record<Exclude<Firmware, 'bios'>, Ovmf>> = {
  uefi: {
    code: '/usr/share/OVMF/OVMF_CODE_4M.fd',
    vars: '/usr/share/OVMF/OVMF_VARS_4M.fd',
    package: 'ovmf',
    needsSmm: false,
  },
  uefi32: {
    code: '/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd',
    vars: '/usr/share/OVMF/OVMF32_VARS_4M.fd',
    package: 'ovmf-ia32',
    needsSmm: true,
  },
}

const NIC_DEVICES: Readonly<Record<Nic, string>> = { virtio: 'virtio-net-pci', e1000: 'e1000' }

/**
 * The arguments of QEMU (without the program's name).
 *
 * `-no-reboot`: a reset of the guest ends QEMU, and the keeper starts it again, so that a boot device that was set for one start
 * only is not used twice. `graphics=off` makes SeaBIOS and its option ROMs write to the serial line.
 */
export function qemuArguments(machine: MachineSpec, launch: Launch): string[] {
  const ovmf = machine.firmware === 'bios' ? undefined : OVMF[machine.firmware]
  const order = bootOrder(machine, launch)
  const bootIndex = (part: BootPart): number | undefined => {
    const at = order.indexOf(part)
    return at < 0 ? undefined : at + 1
  }
  return [
    ...['-name', machine.name, '-no-user-config', '-nodefaults', '-no-reboot', '-display', 'none', '-vga', 'none'],
    ...(launch.accel === 'kvm' ? ['-accel', 'kvm', '-cpu', 'host'] : ['-accel', 'tcg,thread=single']),
    ...['-machine', `${ovmf ? 'q35' : 'pc'},graphics=off${ovmf?.needsSmm ? ',smm=on' : ''}`],
    ...['-smp', '1', '-m', String(machine.memoryMiB)],
    ...['-uuid', machine.uuid],
    ...['-smbios', `type=1,manufacturer=Bareboat,product=Rack,serial=${machine.serial},uuid=${machine.uuid}`],
    ...(ovmf ? pflash(ovmf, launch.nvram) : []),
    ...['-chardev', 'stdio,id=qmp,signal=off', '-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', 'socket,id=serial,fd=3', '-serial', 'chardev:serial'],
    ...['-device', 'virtio-rng-pci'],
    ...['-boot', 'strict=on'],
    ...nic(machine, bootIndex('network')),
    ...(machine.diskMiB > 0 ? disk(launch.disk, bootIndex('disk')) : []),
    // After the devices that were there before it, whose places on the bus stay the same.
    ...['-device', 'qemu-xhci,id=xhci'],
    ...(DRIVES.some((drive) => launch.media[drive]) ? ['-readconfig', launch.drivesFile] : []),
    ...driveArguments(launch.media, bootIndex),
  ]
}

function pflash({ code, needsSmm }: Ovmf, nvram: string): string[] {
  return [
    ...(needsSmm ? ['-global', 'driver=cfi.pflash01,property=secure,value=on'] : []),
    ...['-drive', `if=pflash,unit=0,format=raw,readonly=on,file=${code}`],
    ...['-drive', `if=pflash,unit=1,format=raw,file=${escapeComma(nvram)}`],
  ]
}

function nic(machine: MachineSpec, bootIndex: number | undefined): string[] {
  const tap = tapName(machine.index)
  return [
    ...['-netdev', `tap,id=net0,ifname=${tap},script=no,downscript=no`],
    '-device',
    `${NIC_DEVICES[machine.nic]},netdev=net0,mac=${machine.mac}` +
      (bootIndex === undefined ? '' : `,bootindex=${bootIndex}`) +
      (machine.nicRom === 'firmware' ? ',romfile=' : ''),
  ]
}

function disk(file: string, bootIndex: number | undefined): string[] {
  return [
    ...['-drive', `if=none,id=disk0,format=raw,cache=writeback,discard=unmap,file=${escapeComma(file)}`],
    ...[
      '-device',
      `virtio-blk-pci,drive=disk0,serial=disk0${bootIndex === undefined ? '' : `,bootindex=${bootIndex}`}`,
    ],
  ]
}

const FIRST: Partial<Record<BootDevice, BootPart>> = { pxe: 'network', cdrom: 'cd', usb: 'usb' }

/** What is there, in the order in which firmware tries it: what the BMC was told, then as it is set. The disk alone is alone. */
function bootOrder({ diskMiB }: MachineSpec, { boot, order, media }: Launch): BootPart[] {
  const first = FIRST[boot]
  const wanted = boot === 'disk' ? (['disk'] as const) : first === undefined ? order : [first, ...order]
  const isThere = (part: BootPart): boolean =>
    part === 'network' || (part === 'disk' ? diskMiB > 0 : media[part] !== undefined)
  return [...new Set(wanted)].filter(isThere)
}

/** QEMU's option parser takes a comma in a value only when it is doubled. */
function escapeComma(path: string): string {
  return path.replaceAll(',', ',,')
}
