/**
 * What a rack is made of, decided by pure functions: the wish of the caller (RackOptions) becomes a complete RackSpec, which is
 * written to `rack.json` and never changes until `down`. MAC, UUID and serial number follow from the rack's name and the
 * machine's index alone, so that a rack that is ended and set up again has the same machines.
 */
import { createHash } from 'node:crypto'
import { AppError } from '../base/errors.ts'

/** `uefi32`: UEFI of 32 bits on a processor of 64, as small machines of some years have it. */
export const FIRMWARES = ['bios', 'uefi', 'uefi32'] as const
export type Firmware = (typeof FIRMWARES)[number]

export const NICS = ['virtio', 'e1000'] as const
export type Nic = (typeof NICS)[number]

/** Who does PXE: the iPXE option ROM of the emulated card, or the firmware's own network stack. */
export const NIC_ROMS = ['ipxe', 'firmware'] as const
export type NicRom = (typeof NIC_ROMS)[number]

export const BMCS = ['ipmi', 'http', 'redfish', 'pikvm', 'amt', 'wol'] as const
export type BmcKind = (typeof BMCS)[number]

/** What a firmware can boot from. */
export type BootPart = 'network' | 'disk' | 'cd' | 'usb'

/**
 * The boot order that the firmware of a machine is set to. As hardware ships, the disk comes first; where the BMC to use cannot choose,
 * it is what docs/bmc.md asks for.
 */
export function firmwareOrder(bmc: BmcKind): readonly BootPart[] {
  return bmc === 'pikvm' || bmc === 'wol' ? ['cd', 'usb', 'network', 'disk'] : ['disk', 'network', 'cd', 'usb']
}

/** What a caller may ask of `rackUp`; everything has a default. */
export interface RackOptions {
  /** Letters, digits and dashes; default `default`. */
  readonly name?: string
  /** How many machines, 1 to 64; default 2. */
  readonly machines?: number
  /** One for all machines, or one for each. Default `bios`. */
  readonly firmware?: Firmware | readonly Firmware[]
  /** Default 1024. */
  readonly memoryMiB?: number
  /** A sparse disk of this size for each machine, kept until `down`; default 0: no disk. */
  readonly diskMiB?: number
  /** Default `virtio`. */
  readonly nic?: Nic
  /**
   * Default: `ipxe` for BIOS machines (SeaBIOS has no PXE of its own) and for e1000 (OVMF has no driver for it), `firmware` for
   * UEFI machines with virtio, so that a boot begins with the firmware's DHCP and TFTP as it does on hardware.
   */
  readonly nicRom?: NicRom
  /** Which of the BMCs of each machine is the one to use; all of them run. Default `ipmi`. */
  readonly bmc?: BmcKind
}

export interface MachineSpec {
  readonly name: string
  /** From 1. */
  readonly index: number
  readonly mac: string
  readonly uuid: string
  readonly serial: string
  readonly firmware: Firmware
  readonly memoryMiB: number
  readonly diskMiB: number
  readonly nic: Nic
  readonly nicRom: NicRom
  /** IPv4 address of its BMC, inside the rack's network. */
  readonly bmcAddress: string
}

export interface RackSpec {
  readonly version: 1
  readonly name: string
  /** Random, in the environment of every process of this rack: by it `down` knows what to end. */
  readonly rackId: string
  readonly bmc: BmcKind
  readonly machines: readonly MachineSpec[]
}

/** The rack's own network. No route leads out of it. */
export const NETWORK = {
  bridge: 'br0',
  mac: '52:54:00:29:ff:01',
  gateway: '172.29.0.1',
  cidr: '172.29.0.0/24',
  prefixLength: 24,
  gateway6: 'fd29::1',
  cidr6: 'fd29::/64',
  linkLocal: 'fe80::1',
  /** BMCs are 172.29.0.101, .102, … */
  firstBmc: 100,
  ipmiPort: 623,
  httpPort: 8000,
  /** Redfish and PiKVM, as a PiKVM has both, below different paths. */
  httpsPort: 443,
  amtPort: 16_993,
  /** The n-th machine's serial line, on 127.0.0.1 inside the rack. */
  serialPort: 9100,
  /** The egress proxy for programs inside that cannot speak to a unix socket, on 127.0.0.1 inside the rack. */
  egressPort: 3128,
  bmcUser: 'admin',
} as const

const MACHINES_MAX = 64
const MEMORY_MIB_MAX = 1024 * 1024
const DISK_MIB_MAX = 16 * 1024 * 1024

/**
 * The complete description of a rack.
 * @param rackId a fresh random text, see RackSpec
 * @throws {AppError} invalid, naming the option and what it may be
 */
export function planRack(options: RackOptions, rackId: string): RackSpec {
  const name = checkRackName(options.name ?? 'default')
  const count = whole(name, 'machines', options.machines ?? listLength(options.firmware) ?? 2, 1, MACHINES_MAX)
  const firmwares = firmwareOfEach(name, options.firmware ?? 'bios', count)
  const memoryMiB = whole(name, 'memory in MiB', options.memoryMiB ?? 1024, 64, MEMORY_MIB_MAX)
  const diskMiB = whole(name, 'disk in MiB', options.diskMiB ?? 0, 0, DISK_MIB_MAX)
  const nic = oneOf(name, 'nic', options.nic ?? 'virtio', NICS)
  const bmc = oneOf(name, 'bmc', options.bmc ?? 'ipmi', BMCS)
  if (options.nicRom !== undefined) oneOf(name, 'NIC ROM', options.nicRom, NIC_ROMS)
  const machines = firmwares.map((firmware, at): MachineSpec => {
    const index = at + 1
    return {
      name: `rack-${index}`,
      index,
      ...identity(name, index),
      firmware,
      memoryMiB,
      diskMiB,
      nic,
      nicRom: nicRomFor(name, firmware, nic, options.nicRom),
      bmcAddress: `172.29.0.${NETWORK.firstBmc + index}`,
    }
  })
  return { version: 1, name, rackId, bmc, machines }
}

/**
 * In what the rack that exists is not the one that is asked for, in the words of the options; empty when it is.
 * Only options that were given count: `up` without options takes the rack as it is.
 */
export function differences(existing: RackSpec, options: RackOptions): string[] {
  const first = existing.machines[0]!
  const count = options.machines ?? listLength(options.firmware) ?? existing.machines.length
  const kept = { memoryMiB: first.memoryMiB, diskMiB: first.diskMiB, nic: first.nic, bmc: existing.bmc }
  const firmware = Array.from({ length: count }, (_, at) => (existing.machines[at] ?? first).firmware)
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const wanted = planRack({ ...kept, firmware, ...given, machines: count, name: existing.name }, existing.rackId)
  const different: string[] = []
  const compare = (what: string, is: string | number, asked: string | number): void => {
    if (is !== asked) different.push(`${what} is ${is}, not ${asked}`)
  }
  compare('the number of machines', existing.machines.length, wanted.machines.length)
  compare('the preferred BMC', existing.bmc, wanted.bmc)
  for (const [at, is] of existing.machines.entries()) {
    const asked = wanted.machines[at]
    if (asked === undefined) continue
    compare(`the firmware of ${is.name}`, is.firmware, asked.firmware)
    if (options.nicRom !== undefined) compare(`the NIC ROM of ${is.name}`, is.nicRom, asked.nicRom)
    if (at > 0) continue
    compare('the memory in MiB', is.memoryMiB, asked.memoryMiB)
    compare('the disk in MiB', is.diskMiB, asked.diskMiB)
    compare('the NIC', is.nic, asked.nic)
  }
  return different
}

/** @throws {AppError} invalid */
export function checkRackName(name: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,30}$/.test(name))
    throw new AppError(
      'invalid',
      `Cannot name a rack "${name}": a name is 1 to 31 lower-case letters, digits and dashes, and does not begin with a dash`,
    )
  return name
}

/** The name of a machine's tap device, inside the rack's network. */
export function tapName(index: number): string {
  return `tap${index}`
}

function listLength(firmware: RackOptions['firmware']): number | undefined {
  return typeof firmware === 'object' ? firmware.length : undefined
}

/** `52:54:00:29:RR:NN`; RR is 00 for the default rack and follows from the name for others. */
function identity(rack: string, index: number): { mac: string; uuid: string; serial: string } {
  const rackByte = rack === 'default' ? 0 : 1 + (createHash('sha256').update(rack).digest()[0]! % 254)
  const mac = ['52', '54', '00', '29', hexByte(rackByte), hexByte(index)].join(':')
  const digest = createHash('sha256').update(`bareboat rack ${rack} machine ${index}`).digest()
  // Version 8 of RFC 9562 §5.8: a UUID whose bits an implementation chooses.
  digest[6] = (digest[6]! & 0x0f) | 0x80
  digest[8] = (digest[8]! & 0x3f) | 0x80
  const hex = digest.toString('hex')
  const uuid = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-')
  return { mac, uuid, serial: `RACK-${rack.toUpperCase()}-${String(index).padStart(2, '0')}` }
}

function hexByte(value: number): string {
  return value.toString(16).padStart(2, '0')
}

function firmwareOfEach(rack: string, firmware: Firmware | readonly Firmware[], count: number): readonly Firmware[] {
  const list = typeof firmware === 'string' ? Array.from({ length: count }, () => firmware) : firmware
  if (list.length !== count)
    throw new AppError(
      'invalid',
      `Cannot set up rack "${rack}": ${list.length} firmwares are given for ${count} machines`,
    )
  return list.map((one) => oneOf(rack, 'firmware', one, FIRMWARES))
}

function nicRomFor(rack: string, firmware: Firmware, nic: Nic, wanted: NicRom | undefined): NicRom {
  if (firmware === 'uefi32') {
    if (nic === 'virtio' && wanted !== 'ipxe') return 'firmware'
    throw new AppError(
      'invalid',
      `Cannot set up rack "${rack}": a machine with 32-bit UEFI boots by its firmware and a virtio NIC alone, since iPXE's ROMs are of 64 bits`,
    )
  }
  const needsIpxe =
    firmware === 'bios' ? 'SeaBIOS has no PXE of its own' : nic === 'e1000' ? 'OVMF has no driver for e1000' : ''
  if (needsIpxe === '') return wanted ?? 'firmware'
  if (wanted === 'firmware')
    throw new AppError(
      'invalid',
      `Cannot set up rack "${rack}": its NIC ROM is asked to be "firmware", but ${needsIpxe}; use ipxe`,
    )
  return 'ipxe'
}

function whole(rack: string, what: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max)
    throw new AppError(
      'invalid',
      `Cannot set up rack "${rack}": ${what} is ${value}, not a whole number from ${min} to ${max}`,
    )
  return value
}

function oneOf<T extends string>(rack: string, what: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value)
  if (found === undefined)
    throw new AppError('invalid', `Cannot set up rack "${rack}": ${what} "${value}" is none of ${allowed.join(', ')}`)
  return found
}
