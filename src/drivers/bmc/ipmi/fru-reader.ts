/** FRU inventories: the BMC's own, and those that its sensor records name. */
import { WireError } from '../../../base/errors.ts'
import type { BmcFru } from '../../../model/bmc.ts'
import { COMMANDS } from '../../../wire/ipmi/commands.ts'
import { parseFru, type Fru } from '../../../wire/ipmi/fru.ts'
import { BMC_ADDRESS } from '../../../wire/ipmi/message.ts'
import type { Sdr } from '../../../wire/ipmi/sdr.ts'
import { readPortions, unlessBusy, type Ask, type Portion } from './records.ts'
import { orDeclined } from './sensors.ts'

/** Areas begin and end within this: their offsets and lengths are bytes that count eights. */
const MAX_FRU_BYTES = 2 * 255 * 8
/** The one that every BMC has (§38). */
const BUILT_IN = 0

/** SMBIOS 3.7 table 17, by number. */
const CHASSIS_TYPES =
  'Other|Unknown|Desktop|Low Profile Desktop|Pizza Box|Mini Tower|Tower|Portable|Laptop|Notebook|Hand Held|Docking Station|All in One|Sub Notebook|Space-saving|Lunch Box|Main Server Chassis|Expansion Chassis|SubChassis|Bus Expansion Chassis|Peripheral Chassis|RAID Chassis|Rack Mount Chassis|Sealed-case PC|Multi-system Chassis|Compact PCI|Advanced TCA|Blade|Blade Enclosure'.split(
    '|',
  )

/** Those that the BMC declines to read (parts that are not there) are left out; those that make no sense say so in `problems`. */
export async function readFrus(
  ask: Ask,
  portion: Portion,
  records: readonly Sdr[],
  signal?: AbortSignal,
): Promise<BmcFru[]> {
  const names = new Map([[BUILT_IN, 'built in']])
  for (const sdr of records)
    if (sdr.kind === 'fru' && sdr.isLogical && sdr.controller === BMC_ADDRESS && sdr.channel === 0 && sdr.lun === 0)
      names.set(sdr.fruId, sdr.name)
  const frus: BmcFru[] = []
  for (const [id, name] of names) {
    const bytes = await orDeclined(readFru(ask, portion, id, signal))
    if (bytes) frus.push({ id, name, ...describe(bytes) })
  }
  return frus
}

async function readFru(ask: Ask, portion: Portion, fruId: number, signal?: AbortSignal): Promise<Uint8Array> {
  const { sizeBytes, isInWords } = await ask(COMMANDS.getFruArea, fruId, signal)
  const scale = isInWords ? 2 : 1
  const to = Math.min(sizeBytes, MAX_FRU_BYTES)
  return readPortions(portion, 'FRU data', { from: 0, to: to - (to % scale) }, async (offset, count) => {
    const question = { fruId, offset: offset / scale, count: Math.max(1, Math.floor(count / scale)) }
    const part = await unlessBusy(() => ask(COMMANDS.readFru, question, signal), signal)
    if (part.count * scale !== part.bytes.length)
      throw new WireError('FRU data', `${part.bytes.length} bytes, which says ${part.count * scale}`)
    return part.bytes
  })
}

function describe(bytes: Uint8Array): Omit<BmcFru, 'id' | 'name'> {
  let fru: Fru
  try {
    fru = parseFru(bytes)
  } catch (error) {
    if (error instanceof WireError) return { problems: [error.message] }
    throw error
  }
  const { chassis, board, product, problems } = fru
  return {
    ...(chassis && { chassis: { ...chassis, type: CHASSIS_TYPES[chassis.type - 1] ?? `type ${chassis.type}` } }),
    ...(board && { board: withDate(board) }),
    ...(product && { product }),
    problems: [...problems],
  }
}

function withDate({ madeAtMs, ...board }: NonNullable<Fru['board']>) {
  return { ...board, ...(madeAtMs === undefined ? {} : { madeAt: madeAtMs }) }
}
