/** Disks of one ComputerSystem: Storage (DSP2046), SimpleStorage before it, and HPE's Smart Storage of iLO 4 and 5. */
import {
  child,
  countOf,
  healthOf,
  isPresent,
  linkOf,
  linksOf,
  numberOf,
  objectsOf,
  type Resource,
  textOf,
} from '../../../formats/redfish/resource.ts'
import type { Walk } from '../../../formats/redfish/walk.ts'
import type { InventoryDisk } from '../../../model/inventory.ts'

/** The first of the three places that knows any disks; the others would repeat them in other words. */
export async function readDisks(walk: Walk, system: Resource): Promise<InventoryDisk[]> {
  for (const read of [readStorage, readSmartStorage, readSimpleStorage]) {
    const disks = await read(walk, system)
    if (disks.length > 0) return disks
  }
  return []
}

async function readStorage(walk: Walk, system: Resource): Promise<InventoryDisk[]> {
  const disks: InventoryDisk[] = []
  for (const storage of await walk.members(linkOf(system, 'Storage')))
    // An array of links in the resource itself; a collection in what some BMCs send.
    for (const path of linksOf(storage, 'Drives')) {
      const drive = await walk.read(path)
      const drives = drive && 'Members' in drive ? await walk.members(path) : drive ? [drive] : []
      disks.push(...drives.filter(isPresent).map(diskOf))
    }
  return disks
}

/** Oem.Hpe.Links.SmartStorage → ArrayControllers → PhysicalDrives. Sizes are MiB there. */
async function readSmartStorage(walk: Walk, system: Resource): Promise<InventoryDisk[]> {
  const oem = child(system, 'Oem', 'Hpe') ?? child(system, 'Oem', 'Hp')
  const storage = await walk.read(linkOf(child(oem, 'Links') ?? child(oem, 'links'), 'SmartStorage'))
  const disks: InventoryDisk[] = []
  for (const controller of await walk.members(linkOf(child(storage, 'Links'), 'ArrayControllers')))
    for (const drive of await walk.members(linkOf(child(controller, 'Links'), 'PhysicalDrives'))) {
      const mib = countOf(drive, 'CapacityMiB')
      disks.push({
        ...diskOf(drive),
        name: textOf(drive, 'Location') ?? textOf(drive, 'Id'),
        sizeBytes: bytes(mib, 1 << 20),
      })
    }
  return disks
}

async function readSimpleStorage(walk: Walk, system: Resource): Promise<InventoryDisk[]> {
  const controllers = await walk.members(linkOf(system, 'SimpleStorage'))
  const disks = controllers.flatMap((one) => objectsOf(one, 'Devices').filter(isPresent).map(diskOf))
  if (disks.length > 0) walk.note('disks are known from SimpleStorage only: it has no serial numbers')
  return disks
}

function diskOf(drive: Resource): InventoryDisk {
  const protocol = textOf(drive, 'Protocol') ?? textOf(drive, 'InterfaceType') ?? ''
  const media = textOf(drive, 'MediaType') ?? ''
  const name = objectsOf(drive, 'Identifiers').find((one) =>
    ['NAA', 'EUI'].includes(textOf(one, 'DurableNameFormat') ?? ''),
  )
  return {
    name:
      textOf(child(drive, 'PhysicalLocation', 'PartLocation'), 'ServiceLabel') ??
      textOf(drive, 'Name') ??
      textOf(drive, 'Id'),
    serial: textOf(drive, 'SerialNumber'),
    manufacturer: textOf(drive, 'Manufacturer'),
    model: textOf(drive, 'Model'),
    sizeBytes: bytes(numberOf(drive, 'CapacityBytes'), 1),
    kind: kindOf(protocol, media),
    wwn: textOf(name, 'DurableName'),
    health: healthOf(drive),
  }
}

function kindOf(protocol: string, media: string): InventoryDisk['kind'] {
  if (/nvme/i.test(protocol)) return 'nvme'
  if (/ssd/i.test(media)) return 'ssd'
  if (/hdd/i.test(media)) return 'hdd'
  return media === '' ? undefined : 'other'
}

function bytes(count: number | undefined, unit: number): number | undefined {
  const size = count === undefined ? 0 : Math.round(count) * unit
  return size > 0 && Number.isSafeInteger(size) ? size : undefined
}
