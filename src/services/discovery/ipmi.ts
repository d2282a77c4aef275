/** An inventory of what a BMC tells over IPMI: who made the machine, its numbers, its power and its sensors. IPMI knows no more. */
import { isIP } from 'node:net'
import type { BmcFru, BmcSensor } from '../../model/bmc.ts'
import { PART_LIMIT, type Inventory, type InventoryReading } from '../../model/inventory.ts'
import { mac, systemUuid } from '../../model/machine.ts'
import { plainText } from '../../formats/redfish/resource.ts'
import type { IpmiFacts } from './ports.ts'

const UNITS: Readonly<Record<string, Pick<InventoryReading, 'unit' | 'kind'>>> = {
  'degrees C': { unit: 'Cel', kind: 'temperature' },
  RPM: { unit: 'RPM', kind: 'fan' },
  Volts: { unit: 'V', kind: 'voltage' },
  Amps: { unit: 'A', kind: 'other' },
  Watts: { unit: 'W', kind: 'power' },
}
const HEALTH: Readonly<Partial<Record<BmcSensor['status'], string>>> = { ok: 'OK', warning: 'Warning' }

/** @param address of the BMC, without a port */
export function inventoryOfIpmi(
  { power, info, frus, sensors, missing }: IpmiFacts,
  { now, address }: { now: () => number; address: string },
): Inventory {
  // The device that is built in has id 0 and is the machine; others are its parts.
  const { product, board, chassis } = frus.find(({ id }) => id === 0) ?? ({} as Partial<BmcFru>)
  const serial = plainText(product?.serial) ?? plainText(chassis?.serial)
  const uuid = systemUuid.safeParse(info.guid).data
  const isUuid = uuid !== undefined && !/^[0-]+$|^[f-]+$/.test(uuid)
  const readings = sensors.flatMap(readingOf)
  const watts = info.power && {
    name: 'DCMI power',
    kind: 'power' as const,
    value: info.power.currentWatts,
    unit: 'W' as const,
  }
  return {
    source: 'ipmi',
    at: now(),
    system: {
      manufacturer: plainText(product?.manufacturer) ?? plainText(board?.manufacturer),
      model: plainText(product?.name) ?? plainText(board?.name),
      serial,
      uuid: isUuid ? uuid : undefined,
      sku: plainText(product?.partNumber),
      assetTag: plainText(product?.assetTag),
      powerState: power,
    },
    bmc: {
      manufacturer: plainText(info.manufacturer),
      model: plainText(info.product),
      firmware: plainText(info.firmware),
      mac: mac.safeParse(info.mac).data,
      ip: isIP(address) === 0 ? undefined : address,
    },
    cpus: [],
    memory: { modules: [] },
    nics: [],
    disks: [],
    gpus: [],
    readings: [...(watts ? [watts] : []), ...readings].slice(0, PART_LIMIT),
    firmware: [],
    capabilities: {
      serialConsole: ['ipmi'],
      virtualMedia: [],
      bootTargets: ['Pxe', 'Hdd'],
      bootModes: ['uefi', 'legacy'],
      resetTypes: [],
    },
    findings: [],
    notes: [
      'IPMI does not tell the network interfaces, processors, memory and disks of a machine',
      ...missing.map((what) => `the BMC does not tell its ${what}`),
      ...(serial === undefined ? ['the BMC does not say the serial number of this system'] : []),
      ...(isUuid ? [] : ['the BMC does not say the UUID of this system']),
      ...(readings.length > PART_LIMIT ? [`${readings.length} readings: only ${PART_LIMIT} are kept`] : []),
    ],
  }
}

function readingOf({ name, value, unit, status }: BmcSensor): InventoryReading[] {
  const shown = plainText(name)
  const known = UNITS[unit ?? '']
  if (shown === undefined || value === undefined || !known) return []
  const health = HEALTH[status]
  return [{ name: shown, value, ...known, ...(health === undefined ? {} : { health }) }]
}
