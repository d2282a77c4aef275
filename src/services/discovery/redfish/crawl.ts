/**
 * From a Redfish service to one inventory for each of its ComputerSystems (DSP0266, DSP2046). What a BMC leaves out is absent, what is
 * odd is a note; only a service that cannot be entered at all is an error.
 */
import type { Now } from '../../../base/clock.ts'
import { AppError } from '../../../base/errors.ts'
import { child, healthOf, linkOf, linksOf, pathOf, type Resource, textOf } from '../../../formats/redfish/resource.ts'
import { createWalk, type RedfishGet, type Walk, type WalkLimits } from '../../../formats/redfish/walk.ts'
import { type Inventory, type InventorySystem, NOTE_LIMIT, PART_LIMIT } from '../../../model/inventory.ts'
import { readMemory, readProcessors, readTpm } from './compute.ts'
import { readDisks } from './disks.ts'
import { managerOf, readBmc, readCapabilities } from './manager.ts'
import { readNics } from './nics.ts'
import { readReadings } from './readings.ts'
import { readFindings, readFirmware } from './upkeep.ts'
import { uuidOf } from './values.ts'

export interface CrawlOptions extends WalkLimits {
  readonly now: Now
  /** Address at which the BMC is reached, to know its interface by. */
  readonly address?: string | undefined
  /** How many systems of one service are read; default 64. */
  readonly maxSystems?: number
}

/**
 * Reads everything that an inventory holds, one resource after the other.
 * @param get asks the BMC; its `unauthorized` ends the crawl
 * @returns an inventory for each system, in the BMC's order; none for a service without systems, such as a PDU
 * @throws {AppError} `unauthorized`; what `get` throws for the service root; `bad_peer` when that is none
 */
export async function crawlRedfish(get: RedfishGet, options: CrawlOptions): Promise<Inventory[]> {
  const walk = createWalk(get, options)
  const root = await walk.read('/redfish/v1')
  if (!root || !('RedfishVersion' in root || 'Systems' in root || '@odata.id' in root))
    throw new AppError('bad_peer', 'Cannot crawl the BMC: what it answers at /redfish/v1/ is no Redfish service root')
  const systems = await walk.members(linkOf(root, 'Systems'))
  if (systems.length === 0) return []
  const managers = await walk.members(linkOf(root, 'Managers'))
  const chassis = await walk.members(linkOf(root, 'Chassis'))
  const firmware = await readFirmware(walk, root)
  const { maxSystems = 64 } = options
  if (systems.length > maxSystems) walk.note(`only the first ${maxSystems} of ${systems.length} systems were read`)
  const shared = walk.takeNotes()
  const inventories: Inventory[] = []
  for (const system of systems.slice(0, maxSystems)) {
    const manager = managerOf(system, managers, systems.length === 1)
    const inventory = await readSystem(walk, system, {
      manager,
      chassis: await chassisOf(walk, system, chassis, systems.length === 1),
      findings: await readFindings(walk, root, manager),
      options,
    })
    const path = pathOf(system)
    inventory.firmware = firmware
      .filter(({ systems: owners }) => owners.length === 0 || path === undefined || owners.includes(path))
      .map(({ item }) => item)
      .slice(0, PART_LIMIT)
    inventory.notes = [...shared, ...walk.takeNotes()].slice(0, NOTE_LIMIT)
    inventories.push(inventory)
  }
  return inventories
}

interface Surroundings {
  readonly manager: Resource | undefined
  readonly chassis: readonly Resource[]
  readonly findings: Inventory['findings']
  readonly options: CrawlOptions
}

async function readSystem(
  walk: Walk,
  system: Resource,
  { manager, chassis, findings, options }: Surroundings,
): Promise<Inventory> {
  const { cpus, gpus } = await readProcessors(walk, system)
  return {
    source: 'redfish',
    at: options.now(),
    system: systemOf(walk, system),
    bmc: manager && (await readBmc(walk, manager, options.address)),
    cpus: limited(walk, cpus, 'processors'),
    gpus: limited(walk, gpus, 'GPUs'),
    memory: await readMemory(walk, system),
    nics: limited(walk, await readNics(walk, system, chassis), 'network interfaces'),
    disks: limited(walk, await readDisks(walk, system), 'disks'),
    tpm: await readTpm(walk, system, chassis),
    readings: limited(walk, await readReadings(walk, chassis), 'readings'),
    firmware: [],
    capabilities: await readCapabilities(walk, system, manager),
    findings,
    notes: [],
  }
}

function systemOf(walk: Walk, system: Resource): InventorySystem {
  const power = textOf(system, 'PowerState')
  const serial = textOf(system, 'SerialNumber')
  const uuid = uuidOf(walk, system, 'UUID', 'system')
  if (serial === undefined) walk.note('the BMC does not say the serial number of this system')
  if (uuid === undefined) walk.note('the BMC does not say the UUID of this system')
  return {
    manufacturer: textOf(system, 'Manufacturer'),
    model: textOf(system, 'Model'),
    serial,
    uuid,
    sku: textOf(system, 'SKU'),
    biosVersion: textOf(system, 'BiosVersion'),
    assetTag: textOf(system, 'AssetTag'),
    hostName: textOf(system, 'HostName'),
    powerState: power === 'On' ? 'on' : power === 'Off' ? 'off' : power === undefined ? undefined : 'unknown',
    health: healthOf(system),
    url: pathOf(system),
  }
}

/**
 * The chassis that a system sits in, with what those contain: named by the system, else naming it, else all of them when it is the
 * only system. What belongs to another system is left out.
 */
async function chassisOf(walk: Walk, system: Resource, all: readonly Resource[], isOnly: boolean): Promise<Resource[]> {
  const self = pathOf(system)
  const named: Resource[] = []
  for (const path of linksOf(child(system, 'Links'), 'Chassis')) {
    const one = await walk.read(path)
    if (one) named.push(one)
  }
  const systemsOf = (one: Resource) => linksOf(child(one, 'Links'), 'ComputerSystems')
  const mine = named.length > 0 ? named : all.filter((one) => self !== undefined && systemsOf(one).includes(self))
  if (mine.length === 0) {
    if (isOnly) return [...all]
    walk.note('the BMC does not say in which chassis this system is: its readings and network adapters are unknown')
    return []
  }
  const found = new Set(mine)
  const paths = new Set(mine.map(pathOf))
  // Growing while it is walked: what a chassis contains may contain more.
  for (const one of found)
    for (const path of linksOf(child(one, 'Links'), 'Contains')) {
      if (paths.has(path)) continue
      paths.add(path)
      const inner = await walk.read(path)
      const owners = inner ? systemsOf(inner) : []
      if (inner && (owners.length === 0 || (self !== undefined && owners.includes(self)))) found.add(inner)
    }
  return [...found]
}

function limited<T>(walk: Walk, list: readonly T[], what: string): T[] {
  if (list.length > PART_LIMIT) walk.note(`${list.length} ${what}: only ${PART_LIMIT} are kept`)
  return list.slice(0, PART_LIMIT)
}
