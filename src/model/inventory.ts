/**
 * What is known of a machine's hardware, whoever says it: its BMC over Redfish or IPMI, or the agent that runs on it.
 * What a source does not say is absent, and a note says so in words where a person would miss it: nothing is guessed.
 */
import { z } from 'zod'
import { bmcUser } from './bmc.ts'
import { mac, systemUuid } from './machine.ts'

/** The longest text that a part may carry; sources cut what is longer. */
export const TEXT_LIMIT = 256
/** The most parts of one kind; sources that say more keep the first and note it. */
export const PART_LIMIT = 1024
/** The most notes of one inventory. */
export const NOTE_LIMIT = 256

const text = z.string().min(1).max(TEXT_LIMIT)
const count = z.int().positive()
const sizeBytes = z.int().nonnegative()
const parts = <T extends z.ZodType>(part: T) => z.array(part).max(PART_LIMIT).default([])

/** Where an inventory comes from. */
export const inventorySource = z.enum(['redfish', 'agent', 'ipmi'])
export type InventorySource = z.infer<typeof inventorySource>

/** The board and its case, as SMBIOS types 0 and 1 or a Redfish ComputerSystem name them. */
export const inventorySystem = z.object({
  manufacturer: text.optional(),
  model: text.optional(),
  serial: text.optional(),
  uuid: systemUuid.optional().describe('SMBIOS system UUID'),
  sku: text.optional(),
  biosVersion: text.optional(),
  assetTag: text.optional(),
  hostName: text.optional(),
  powerState: z.enum(['on', 'off', 'unknown']).optional(),
  health: text.optional().describe('OK, Warning, Critical'),
  url: text.optional().describe('path of the resource on the BMC: /redfish/v1/Systems/1'),
})
export type InventorySystem = z.infer<typeof inventorySystem>

/** How a BMC is on one of its networks. */
export const inventoryLan = z.object({
  channel: z.int().min(0).max(15),
  ip: z.ipv4().optional(),
  netmask: z.ipv4().optional(),
  gateway: z.ipv4().optional(),
  mac: mac.optional(),
  vlan: z.int().min(0).max(4095).optional(),
  port: z.int().min(1).max(65_535).optional().describe('for IPMI, where it is not 623'),
  ipv6: z.array(z.ipv6()).max(16).default([]),
})
export type InventoryLan = z.infer<typeof inventoryLan>

export const inventoryBmc = z.object({
  manufacturer: text.optional(),
  model: text.optional(),
  serial: text.optional(),
  uuid: systemUuid.optional(),
  firmware: text.optional().describe('version'),
  mac: mac.optional(),
  ip: z.union([z.ipv4(), z.ipv6()]).optional(),
  url: text.optional().describe('path of the resource on the BMC: /redfish/v1/Managers/1'),
  lans: z.array(inventoryLan).max(16).optional().describe('as the BMC itself says, asked from inside the machine'),
  users: z.array(bmcUser).max(64).optional().describe('who may come in by the first of them'),
})
export type InventoryBmc = z.infer<typeof inventoryBmc>

export const inventoryCpu = z.object({
  name: text.optional().describe('socket or slot: CPU1'),
  manufacturer: text.optional(),
  model: text.optional(),
  architecture: text.optional().describe('as the source writes it: x86, ARM, x86_64'),
  cores: count.optional(),
  threads: count.optional(),
  maxMhz: count.optional(),
  serial: text.optional(),
})
export type InventoryCpu = z.infer<typeof inventoryCpu>

export const inventoryMemoryModule = z.object({
  name: text.optional().describe('slot: DIMM_A1'),
  sizeMiB: count.optional(),
  kind: text.optional().describe('DDR4, DDR5, HBM2'),
  manufacturer: text.optional(),
  part: text.optional(),
  serial: text.optional(),
  mhz: count.optional(),
})
export type InventoryMemoryModule = z.infer<typeof inventoryMemoryModule>

export const inventoryMemory = z.object({
  totalMiB: count.optional().describe('as the source says it, else the sum of the modules'),
  modules: parts(inventoryMemoryModule),
})
export type InventoryMemory = z.infer<typeof inventoryMemory>

export const inventoryNic = z.object({
  name: text.optional().describe('eth0, NIC.Slot.1-1'),
  mac: mac.optional().describe('as it answers now'),
  permanentMac: mac.optional().describe('as its maker gave it, where that is another one'),
  hasLink: z.boolean().optional(),
  speedMbps: count.optional(),
  driver: text.optional(),
  manufacturer: text.optional(),
  model: text.optional(),
  serial: text.optional(),
})
export type InventoryNic = z.infer<typeof inventoryNic>

export const inventoryDisk = z.object({
  name: text.optional().describe('sda, Disk.Bay.0'),
  serial: text.optional(),
  manufacturer: text.optional(),
  model: text.optional(),
  sizeBytes: sizeBytes.optional(),
  kind: z.enum(['nvme', 'ssd', 'hdd', 'other']).optional(),
  wwn: text.optional(),
  health: text.optional(),
})
export type InventoryDisk = z.infer<typeof inventoryDisk>

export const inventoryGpu = z.object({
  name: text.optional(),
  manufacturer: text.optional(),
  model: text.optional(),
  serial: text.optional(),
  memoryMiB: count.optional(),
  pci: text.optional().describe('address 0000:3b:00.0 or ids 10de:20b5'),
})
export type InventoryGpu = z.infer<typeof inventoryGpu>

export const inventoryTpm = z.object({
  version: text.optional().describe('1.2, 2.0'),
  manufacturer: text.optional(),
  firmware: text.optional(),
  isEnabled: z.boolean().optional(),
})
export type InventoryTpm = z.infer<typeof inventoryTpm>

/** One reading of a sensor at the time of the inventory. */
export const inventoryReading = z.object({
  name: text,
  kind: z.enum(['power', 'temperature', 'fan', 'voltage', 'other']),
  value: z.number().optional().describe('absent when the sensor has no reading now'),
  unit: z
    .enum(['W', 'Cel', 'RPM', '%', 'V', 'A', 'J', ''])
    .describe('as UCUM writes it; empty when the source names none'),
  health: text.optional(),
})
export type InventoryReading = z.infer<typeof inventoryReading>

export const inventoryFirmware = z.object({
  name: text,
  version: text.optional(),
  isUpdateable: z.boolean().optional(),
})
export type InventoryFirmware = z.infer<typeof inventoryFirmware>

/** What the machine can be asked to do, as far as its BMC says. */
export const inventoryCapabilities = z.object({
  serialConsole: z.array(z.enum(['ssh', 'telnet', 'ipmi', 'websocket', 'oem'])).default([]),
  virtualMedia: z
    .array(text)
    .max(64)
    .default([])
    .describe('kinds of media that can be inserted: CD, DVD, USBStick, Floppy'),
  bootTargets: z.array(text).max(64).default([]).describe('Pxe, UefiHttp, Hdd, …, as offered'),
  bootModes: z
    .array(z.enum(['uefi', 'legacy']))
    .default([])
    .describe('that the boot override can ask for'),
  resetTypes: z.array(text).max(64).default([]).describe('On, ForceOff, GracefulShutdown, …, as offered'),
})
export type InventoryCapabilities = z.infer<typeof inventoryCapabilities>

/** What a person should look at: weaknesses that were seen and never used. */
export const inventoryFinding = z.object({
  kind: z.enum([
    'default-password',
    'null-user',
    'cipher-zero',
    'no-encryption',
    'no-authentication',
    'certificate-changed',
    'firmware-at-risk',
  ]),
  what: text.describe('in words: what was seen, and what would help'),
})
export type InventoryFinding = z.infer<typeof inventoryFinding>

export const inventory = z.object({
  source: inventorySource,
  at: z.int().describe('when it was read, milliseconds since the epoch'),
  system: inventorySystem,
  bmc: inventoryBmc.optional(),
  cpus: parts(inventoryCpu),
  memory: inventoryMemory,
  nics: parts(inventoryNic),
  disks: parts(inventoryDisk),
  gpus: parts(inventoryGpu),
  tpm: inventoryTpm.optional(),
  readings: parts(inventoryReading),
  firmware: parts(inventoryFirmware),
  capabilities: inventoryCapabilities,
  findings: z.array(inventoryFinding).max(64).default([]),
  notes: z.array(text).max(NOTE_LIMIT).default([]).describe('what was missing or odd, in words'),
})
export type Inventory = z.infer<typeof inventory>
