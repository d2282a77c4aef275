/** What a machine reports of itself as an inventory. */
import type { HardwareReport, Line } from '../../formats/hardware/report.ts'
import type { SmbiosMemory, SmbiosProcessor } from '../../formats/smbios/smbios.ts'
import {
  NOTE_LIMIT,
  PART_LIMIT,
  TEXT_LIMIT,
  type Inventory,
  type InventoryCpu,
  type InventoryDisk,
  type InventoryGpu,
  type InventoryMemoryModule,
  type InventoryNic,
} from '../../model/inventory.ts'
import { mac as macSchema, systemUuid } from '../../model/machine.ts'

/** Names for the vendors of what shows a picture or computes; others are known by their number (PCI ID repository). */
const PCI_VENDORS: Readonly<Record<string, string>> = {
  '0x10de': 'NVIDIA',
  '0x1002': 'AMD',
  '0x8086': 'Intel',
  '0x102b': 'Matrox',
  '0x1a03': 'ASPEED',
  '0x1af4': 'virtio',
}

/** @param at when it was reported, milliseconds since the epoch */
export function inventoryOf(report: HardwareReport, at: number): Inventory {
  const { smbios, system } = report
  const notes = [...report.notes]
  if (!smbios && report.notes.length === 0) notes.push('the firmware has no SMBIOS table: no serial number, no UUID')
  const nics = report.nics.map(nicOf)
  for (const { address, vendor, device } of idleControllers(report)) {
    nics.push(present({ name: address, model: idsOf(vendor, device) }))
    notes.push(`network controller ${address} (${idsOf(vendor, device) ?? 'unknown'}) has no driver in this kit`)
  }
  const modules = (smbios?.memory ?? []).map(moduleOf)
  const installedMiB = modules.reduce((sum, { sizeMiB = 0 }) => sum + sizeMiB, 0)
  const seenMiB = system.memory_kib === undefined ? undefined : Math.trunc(system.memory_kib / 1024)
  const totalMiB = positive(installedMiB) ?? positive(seenMiB)
  const tpmVersion = report.tpm?.version
  return {
    source: 'agent',
    at,
    system: present({
      manufacturer: text(smbios?.system.manufacturer ?? smbios?.baseboard.manufacturer),
      model: text(smbios?.system.product ?? smbios?.baseboard.product),
      serial: text(serialOf(report)),
      uuid: smbios?.system.uuid,
      sku: text(smbios?.system.sku),
      biosVersion: text(smbios?.bios.version),
      assetTag: text(smbios?.chassis.assetTag),
      powerState: 'on' as const,
    }),
    ...bmcOf(report),
    cpus: cpusOf(report),
    memory: { ...present({ totalMiB }), modules: modules.slice(0, PART_LIMIT) },
    nics: nics.slice(0, PART_LIMIT),
    disks: report.disks.slice(0, PART_LIMIT).map(diskOf),
    gpus: report.pci.filter(isGpu).slice(0, PART_LIMIT).map(gpuOf),
    ...(report.tpm
      ? { tpm: present({ version: text({ '1': '1.2', '2': '2.0' }[tpmVersion ?? ''] ?? tpmVersion) }) }
      : {}),
    readings: [],
    firmware: smbios?.bios.version === undefined ? [] : [present({ name: 'BIOS', version: text(smbios.bios.version) })],
    capabilities: { serialConsole: [], virtualMedia: [], bootTargets: [], bootModes: [], resetTypes: [] },
    findings: [],
    notes: notes.slice(0, NOTE_LIMIT).map((note) => note.slice(0, TEXT_LIMIT)),
  }
}

/** The serial number of the machine; of the board where the machine has none, as in many that are sold as a board. */
function serialOf({ smbios }: HardwareReport): string | undefined {
  return smbios?.system.serial ?? smbios?.chassis.serial ?? smbios?.baseboard.serial
}

/** MAC addresses of interfaces that are addresses of one card, in their order. */
export function macsOf(report: HardwareReport): string[] {
  return [...new Set(report.nics.map(({ mac }) => validMac(mac)).filter((mac) => mac !== undefined))]
}

function cpusOf({ smbios, cpu, system }: HardwareReport): InventoryCpu[] {
  const architecture = text(system.arch)
  if (smbios && smbios.processors.length > 0)
    return smbios.processors.slice(0, PART_LIMIT).map((processor) => processorOf(processor, architecture))
  const sockets = Math.min(cpu.sockets ?? 0, PART_LIMIT)
  const each = (count: number | undefined) => positive(Math.trunc((count ?? 0) / sockets))
  return Array.from({ length: sockets }, () =>
    present({ model: text(cpu.model), architecture, cores: each(cpu.cores), threads: each(cpu.threads) }),
  )
}

function processorOf(processor: SmbiosProcessor, architecture: string | undefined): InventoryCpu {
  const { socket, manufacturer, model, cores, threads, maxMhz } = processor
  return present({
    ...{ name: text(socket), manufacturer: text(manufacturer), model: text(model), architecture },
    ...{ cores, threads, maxMhz },
  })
}

function moduleOf(device: SmbiosMemory): InventoryMemoryModule {
  return present({
    name: text([device.bank, device.locator].filter((part) => part !== undefined).join(' ')),
    sizeMiB: positive(Math.trunc(device.sizeBytes / 2 ** 20)),
    kind: device.type,
    manufacturer: text(device.manufacturer),
    part: text(device.partNumber),
    serial: text(device.serial),
    mhz: device.speedMts,
  })
}

function nicOf({ name, mac, driver, carrier, speed }: Line<'nic'>): InventoryNic {
  return present({
    ...{ name: text(name), mac: validMac(mac), hasLink: carrier },
    ...{ speedMbps: positive(speed), driver: text(driver) },
  })
}

/** Network controllers that no interface stands for and no driver has taken. */
function idleControllers({ nics, pci }: HardwareReport): Line<'pci'>[] {
  const taken = new Set(nics.map((nic) => nic.pci))
  return pci.filter((each) => each.class?.startsWith('0x02') && each.driver === undefined && !taken.has(each.address))
}

function isGpu({ class: code }: Line<'pci'>): boolean {
  return code?.startsWith('0x03') === true || code?.startsWith('0x12') === true
}

function gpuOf({ address, vendor, device }: Line<'pci'>): InventoryGpu {
  return present({ manufacturer: PCI_VENDORS[vendor ?? ''], model: idsOf(vendor, device), pci: text(address) })
}

function diskOf(disk: Line<'disk'>): InventoryDisk {
  const { transport, rotational } = disk
  const isPlain = transport === 'sata' || transport === 'scsi'
  const kind: InventoryDisk['kind'] =
    transport === 'nvme' ? 'nvme' : !isPlain ? 'other' : rotational === true ? 'hdd' : 'ssd'
  return present({
    ...{ name: text(disk.name), serial: text(disk.serial), model: text(disk.model), sizeBytes: disk.bytes, kind },
    // libata says "ATA" for every vendor; behind virtio it is the number of a PCI vendor.
    ...{ manufacturer: /^(ATA$|0x)/.test(disk.vendor ?? '') ? undefined : text(disk.vendor), wwn: text(disk.wwid) },
  })
}

function bmcOf({ bmc, smbios }: HardwareReport): Pick<Inventory, 'bmc'> {
  if (!bmc && smbios?.hasIpmi !== true) return {}
  const uuid = systemUuid.safeParse(bmc?.guid)
  return { bmc: present({ firmware: text(bmc?.firmware), uuid: uuid.success ? uuid.data : undefined }) }
}

/** `10de:15f8`, as lspci writes it. */
function idsOf(vendor: string | undefined, device: string | undefined): string | undefined {
  if (vendor === undefined || device === undefined) return undefined
  return text(`${vendor.replace(/^0x/, '')}:${device.replace(/^0x/, '')}`)
}

function validMac(text: string | undefined): string | undefined {
  const parsed = macSchema.safeParse(text)
  return parsed.success ? parsed.data : undefined
}

function text(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value.slice(0, TEXT_LIMIT)
}

function positive(number: number | undefined): number | undefined {
  return number !== undefined && number > 0 ? number : undefined
}

type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>
}

function present<T extends object>(fields: T): Present<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Present<T>
}
