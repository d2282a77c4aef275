/** What an SMBIOS table says of a machine: who made it, its serial number and UUID, firmware, processors, memory. */
import { toHex } from '../../base/bytes.ts'
import { parseStructures, type SmbiosVersion, type Structure } from './structures.ts'

/** Fields are as the firmware filled them; absent where it has nothing, or only words such as "To Be Filled By O.E.M.". */
export interface Smbios {
  readonly bios: { readonly vendor?: string; readonly version?: string; readonly releaseDate?: string }
  readonly system: {
    readonly manufacturer?: string
    readonly product?: string
    readonly version?: string
    readonly serial?: string
    readonly sku?: string
    readonly family?: string
    /** Lower case; absent where the firmware set none. */
    readonly uuid?: string
  }
  readonly baseboard: { readonly manufacturer?: string; readonly product?: string; readonly serial?: string }
  readonly chassis: { readonly manufacturer?: string; readonly serial?: string; readonly assetTag?: string }
  /** One for each socket that is populated. */
  readonly processors: readonly SmbiosProcessor[]
  /** One for each slot that is populated. */
  readonly memory: readonly SmbiosMemory[]
  /** How many slots for memory there are. */
  readonly memorySlots: number
  /** Whether the firmware names an interface to a BMC (IPMI, type 38). */
  readonly hasIpmi: boolean
}

export interface SmbiosProcessor {
  readonly socket?: string
  readonly manufacturer?: string
  readonly model?: string
  readonly cores?: number
  readonly threads?: number
  readonly maxMhz?: number
}

export interface SmbiosMemory {
  readonly locator?: string
  readonly bank?: string
  readonly sizeBytes: number
  /** `DDR4`, for the kinds that are in machines of today. */
  readonly type?: string
  /** Million transfers a second. */
  readonly speedMts?: number
  readonly manufacturer?: string
  readonly serial?: string
  readonly partNumber?: string
}

const TYPES = { bios: 0, system: 1, baseboard: 2, chassis: 3, processor: 4, memoryDevice: 17, ipmi: 38 } as const

/** DSP0134 §7.18.2, "Memory Device — Type". */
const MEMORY_TYPES: Readonly<Record<number, string>> = {
  0x12: 'DDR',
  0x13: 'DDR2',
  0x18: 'DDR3',
  0x1a: 'DDR4',
  0x1b: 'LPDDR',
  0x1c: 'LPDDR2',
  0x1d: 'LPDDR3',
  0x1e: 'LPDDR4',
  0x20: 'HBM',
  0x21: 'HBM2',
  0x22: 'DDR5',
  0x23: 'LPDDR5',
}

/**
 * Parses a table of structures.
 * @param version of its entry point, which decides how the UUID is read
 * @throws {WireError} when the table is no sequence of structures
 */
export function parseSmbios(table: Uint8Array, version: SmbiosVersion): Smbios {
  const all = parseStructures(table)
  const first = (type: number): Structure | undefined => all.find((each) => each.type === type)
  const every = (type: number): Structure[] => all.filter((each) => each.type === type)
  const [bios, system, board, chassis] = [
    first(TYPES.bios),
    first(TYPES.system),
    first(TYPES.baseboard),
    first(TYPES.chassis),
  ]
  const slots = every(TYPES.memoryDevice)
  return {
    bios: present({ vendor: bios?.text(4), version: bios?.text(5), releaseDate: bios?.text(8) }),
    system: present({
      manufacturer: system?.text(4),
      product: system?.text(5),
      version: system?.text(6),
      serial: system?.text(7),
      uuid: uuidOf(system?.bytes(8, 16), version),
      sku: system?.text(0x19),
      family: system?.text(0x1a),
    }),
    baseboard: present({ manufacturer: board?.text(4), product: board?.text(5), serial: board?.text(7) }),
    chassis: present({ manufacturer: chassis?.text(4), serial: chassis?.text(7), assetTag: chassis?.text(8) }),
    processors: every(TYPES.processor).filter(isPopulated).map(processorOf),
    memory: slots.map(memoryOf).filter((device) => device.sizeBytes > 0),
    memorySlots: slots.length,
    hasIpmi: first(TYPES.ipmi) !== undefined,
  }
}

/**
 * A UUID as everyone else shows it. Its first three fields are little-endian since 2.6 (DSP0134 §7.2.1); before, nobody had
 * said so, and they are read as they lie. All zeros or all ones mean that there is none.
 */
function uuidOf(bytes: Uint8Array | undefined, { major, minor }: SmbiosVersion): string | undefined {
  if (bytes === undefined || bytes.every((byte) => byte === 0) || bytes.every((byte) => byte === 0xff)) return undefined
  const isLittleEndian = major > 2 || (major === 2 && minor >= 6)
  const field = (from: number, to: number, swaps: boolean): string => {
    const part = bytes.slice(from, to)
    return toHex(swaps && isLittleEndian ? part.toReversed() : part)
  }
  return [field(0, 4, true), field(4, 6, true), field(6, 8, true), field(8, 10, false), field(10, 16, false)].join('-')
}

/** Bit 6 of the status: CPU socket populated (DSP0134 §7.5). */
function isPopulated(processor: Structure): boolean {
  return ((processor.u8(0x18) ?? 0) & 0x40) !== 0
}

function processorOf(processor: Structure): SmbiosProcessor {
  return present({
    socket: processor.text(4),
    manufacturer: processor.text(7),
    model: processor.text(0x10),
    cores: counted(processor, 0x23, 0x2a),
    threads: counted(processor, 0x25, 0x2e),
    maxMhz: known(processor.u16(0x14)),
  })
}

/** A count in one byte, or in two further on where it is 255 or more (SMBIOS 3.0). */
function counted(processor: Structure, offset: number, wide: number): number | undefined {
  const count = processor.u8(offset)
  return known(count === 0xff ? (processor.u16(wide) ?? count) : count)
}

function memoryOf(device: Structure): SmbiosMemory {
  return {
    sizeBytes: memoryBytes(device),
    ...present({
      locator: device.text(0x10),
      bank: device.text(0x11),
      type: MEMORY_TYPES[device.u8(0x12) ?? 0],
      speedMts: known(device.u16(0x15)),
      manufacturer: device.text(0x17),
      serial: device.text(0x18),
      partNumber: device.text(0x1a),
    }),
  }
}

/** DSP0134 §7.18.5: MiB, or KiB where bit 15 is set; 0x7fff refers to 31 bits of MiB further on; 0xffff is "unknown". */
function memoryBytes(device: Structure): number {
  const size = device.u16(0x0c) ?? 0
  if (size === 0xffff) return 0
  if (size === 0x7fff) return ((device.u32(0x1c) ?? 0) & 0x7fff_ffff) * 2 ** 20
  return (size & 0x7fff) * (size & 0x8000 ? 2 ** 10 : 2 ** 20)
}

/** 0 is "unknown" in every number here. */
function known(number: number | undefined): number | undefined {
  return number === 0 ? undefined : number
}

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

function present<T extends object>(fields: T): Present<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Present<T>
}
