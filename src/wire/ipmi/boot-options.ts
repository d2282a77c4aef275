/** Parameters of Set and Get System Boot Options (IPMI v2.0 rev 1.1 §28.12, §28.13, table 28-14): 0, 3, 4 and 5. */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

export const BOOT_PARAMETER = { setInProgress: 0, clearValidBit: 3, acknowledge: 4, flags: 5 } as const

/** Values of parameter 0. */
export const SET_PROGRESS = { complete: 0, inProgress: 1, commit: 2 } as const

/** Boot device selector, bits 5:2 of the second byte of parameter 5. */
export const BOOT_DEVICE = {
  none: 0x0,
  pxe: 0x1,
  disk: 0x2,
  'disk-safe': 0x3,
  diagnostic: 0x4,
  cd: 0x5,
  setup: 0x6,
  /** "Floppy or primary removable media". */
  usb: 0xf,
} as const
export type BootDevice = keyof typeof BOOT_DEVICE

/** Reasons after which the BMC would clear the valid flag on its own (parameter 3); a set bit says "do not". */
export const KEEP_VALID = {
  powerButton: 0x01,
  resetButton: 0x02,
  watchdog: 0x04,
  noCommandIn60Seconds: 0x08,
  pef: 0x10,
} as const

export interface BootFlags {
  /** Off: firmware ignores the rest. */
  readonly isValid: boolean
  readonly isPersistent: boolean
  readonly isUefi: boolean
  /** A value of BOOT_DEVICE, or one that we have no word for. */
  readonly device: number
}

const FLAGS_BYTES = 5
const VALID = 0x80
const PERSISTENT = 0x40
const UEFI = 0x20

/** @throws {WireError} when shorter than 2 bytes (the other three have nothing that we use, and some BMCs leave them off) */
export function parseBootFlags(bytes: Uint8Array): BootFlags {
  const r = new Reader(bytes, 'boot flags')
  const first = r.u8('flags')
  const device = (r.u8('device') >> 2) & 0x0f
  return {
    isValid: (first & VALID) !== 0,
    isPersistent: (first & PERSISTENT) !== 0,
    isUefi: (first & UEFI) !== 0,
    device,
  }
}

/** Five bytes; everything that BootFlags does not name is left as the BIOS has it (zero). */
export function serializeBootFlags(flags: BootFlags): Uint8Array {
  const first = (flags.isValid ? VALID : 0) | (flags.isPersistent ? PERSISTENT : 0) | (flags.isUefi ? UEFI : 0)
  return new Writer(FLAGS_BYTES)
    .u8(first)
    .u8((flags.device & 0x0f) << 2)
    .zeros(FLAGS_BYTES - 2)
    .done()
}

/** The word for a device selector, or its number. */
export function bootDeviceName(device: number): string {
  return Object.entries(BOOT_DEVICE).find(([, value]) => value === device)?.[0] ?? `device ${device}`
}

/** One parameter as Set carries it and Get returns it. */
export interface BootParameter {
  readonly parameter: number
  readonly data: Uint8Array
}

/** @throws {WireError} when empty or longer than any parameter of table 28-14 */
export function parseBootParameter(bytes: Uint8Array): BootParameter {
  const r = new Reader(bytes, 'boot option')
  const parameter = r.u8('parameter') & 0x7f
  if (r.left > 32) throw new WireError('boot option', `${r.left} bytes of data, more than 32`)
  return { parameter, data: r.rest() }
}

export function serializeBootParameter({ parameter, data }: BootParameter): Uint8Array {
  return new Writer().u8(parameter).bytes(data).done()
}
