/** The BMC of one ComputerSystem, and what the two together can be asked to do. */
import {
  child,
  flagOf,
  linkOf,
  linksOf,
  objectsOf,
  pathOf,
  type Resource,
  textOf,
  textsOf,
} from '../../../formats/redfish/resource.ts'
import type { Walk } from '../../../formats/redfish/walk.ts'
import type { InventoryBmc, InventoryCapabilities } from '../../../model/inventory.ts'
import { addressOf, macFrom, uuidOf } from './values.ts'

type Console = InventoryCapabilities['serialConsole'][number]

const CONSOLES: Readonly<Record<string, Console>> = {
  ssh: 'ssh',
  telnet: 'telnet',
  ipmi: 'ipmi',
  websocket: 'websocket',
  oem: 'oem',
}

/**
 * The manager that the system names, else the one that names the system, else the only one.
 * @param isOnly whether the service has no other system
 */
export function managerOf(system: Resource, managers: readonly Resource[], isOnly: boolean): Resource | undefined {
  const named = new Set(linksOf(child(system, 'Links'), 'ManagedBy'))
  const self = pathOf(system)
  const mine = managers.filter(
    (manager) =>
      named.has(pathOf(manager) ?? '') ||
      (self !== undefined && linksOf(child(manager, 'Links'), 'ManagerForServers').includes(self)),
  )
  const candidates = mine.length > 0 ? mine : isOnly || managers.length === 1 ? managers : []
  return candidates.find((manager) => textOf(manager, 'ManagerType') === 'BMC') ?? candidates[0]
}

/** @param address at which the BMC was reached, so that the interface that has it is taken; a host name helps nobody here */
export async function readBmc(walk: Walk, manager: Resource, address: string | undefined): Promise<InventoryBmc> {
  const interfaces = await walk.members(linkOf(manager, 'EthernetInterfaces'))
  const ipOf = (one: Resource) => addressOf([...objectsOf(one, 'IPv4Addresses'), ...objectsOf(one, 'IPv6Addresses')])
  const here = interfaces.find((one) => address !== undefined && ipOf(one) === address)
  const chosen = here ?? interfaces.find((one) => ipOf(one) !== undefined) ?? interfaces[0]
  const mac = chosen && (macFrom(chosen['MACAddress']) ?? macFrom(chosen['PermanentMACAddress']))
  if (mac === undefined) walk.note('the BMC does not say its own MAC address')
  return {
    manufacturer: textOf(manager, 'Manufacturer'),
    model: textOf(manager, 'Model'),
    serial: textOf(manager, 'SerialNumber'),
    uuid: uuidOf(walk, manager, 'UUID', 'BMC'),
    firmware: textOf(manager, 'FirmwareVersion'),
    mac,
    ip: chosen && ipOf(chosen),
    url: pathOf(manager),
  }
}

/** What is offered, not what standards allow: a BMC that names no reset types has none here, and a note says so. */
export async function readCapabilities(
  walk: Walk,
  system: Resource,
  manager: Resource | undefined,
): Promise<InventoryCapabilities> {
  const boot = child(system, 'Boot')
  const modes = [
    ...textsOf(boot, 'BootSourceOverrideMode@Redfish.AllowableValues'),
    textOf(boot, 'BootSourceOverrideMode'),
  ]
  const resetTypes = await readResetTypes(walk, system)
  if (resetTypes.length === 0) walk.note('the BMC does not say which resets this system takes')
  return {
    serialConsole: consolesOf(system, manager),
    virtualMedia: await readVirtualMedia(walk, system, manager),
    bootTargets: textsOf(boot, 'BootSourceOverrideTarget@Redfish.AllowableValues').slice(0, 64),
    bootModes: (['uefi', 'legacy'] as const).filter((mode) => modes.some((one) => one?.toLowerCase() === mode)),
    resetTypes,
  }
}

/** Values beside the action, else of its ActionInfo resource (DSP0266 §9.6), whose path some BMCs write bare. */
async function readResetTypes(walk: Walk, system: Resource): Promise<string[]> {
  const action = child(system, 'Actions', '#ComputerSystem.Reset')
  const beside = textsOf(action, 'ResetType@Redfish.AllowableValues')
  if (beside.length > 0) return beside.slice(0, 64)
  const info = await walk.read(linkOf(action, '@Redfish.ActionInfo'))
  const parameter = objectsOf(info, 'Parameters').find((one) => textOf(one, 'Name') === 'ResetType')
  return textsOf(parameter, 'AllowableValues').slice(0, 64)
}

/** SerialConsole of the system (2020.4: an object for each way) and of its manager (a list of ways). */
function consolesOf(system: Resource, manager: Resource | undefined): Console[] {
  const found = new Set<Console>()
  const add = (name: string) => {
    const way = CONSOLES[name.toLowerCase()]
    if (way) found.add(way)
  }
  const own = child(system, 'SerialConsole')
  for (const name of Object.keys(CONSOLES)) {
    const key = Object.keys(own ?? {}).find((one) => one.toLowerCase() === name)
    if (key !== undefined && flagOf(child(own, key), 'ServiceEnabled') === true) add(name)
  }
  const shared = child(manager, 'SerialConsole')
  if (flagOf(shared, 'ServiceEnabled') !== false) textsOf(shared, 'ConnectTypesSupported').forEach(add)
  return [...found]
}

async function readVirtualMedia(walk: Walk, system: Resource, manager: Resource | undefined): Promise<string[]> {
  const kinds = new Set<string>()
  for (const owner of [system, manager])
    for (const one of await walk.members(linkOf(owner, 'VirtualMedia'))) {
      const types = textsOf(one, 'MediaTypes')
      if (types.length === 0) walk.note(`virtual media ${textOf(one, 'Id') ?? ''} does not say which media it takes`)
      for (const type of types.length > 0 ? types : ['unnamed']) kinds.add(type)
    }
  return [...kinds].slice(0, 64)
}
