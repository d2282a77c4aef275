/** Network interfaces of one ComputerSystem, joined by MAC address from the two places where BMCs keep them. */
import {
  child,
  isPresent,
  linkOf,
  linksOf,
  numberOf,
  objectsOf,
  type Resource,
  textOf,
} from '../../../formats/redfish/resource.ts'
import type { Walk } from '../../../formats/redfish/walk.ts'
import type { InventoryNic } from '../../../model/inventory.ts'
import { macFrom, macOf } from './values.ts'

/** EthernetInterfaces of the system first, then what the network adapters of its chassis add. */
export async function readNics(walk: Walk, system: Resource, chassis: readonly Resource[]): Promise<InventoryNic[]> {
  const nics: InventoryNic[] = []
  for (const one of await walk.members(linkOf(system, 'EthernetInterfaces'))) addOrJoin(nics, interfaceOf(walk, one))
  for (const adapter of await adaptersOf(walk, system, chassis))
    for (const nic of await readAdapter(walk, adapter)) addOrJoin(nics, nic)
  if (nics.every(({ mac }) => mac === undefined))
    walk.note('the BMC knows no MAC address of this system: it will be learned when the machine boots')
  return nics
}

function interfaceOf(walk: Walk, one: Resource): InventoryNic {
  const name = textOf(one, 'Id') ?? textOf(one, 'Name')
  const where = `network interface ${name ?? 'without a name'}`
  const current = macOf(walk, one, 'MACAddress', where)
  const permanent = macOf(walk, one, 'PermanentMACAddress', where)
  if (current === undefined && permanent === undefined) walk.note(`${where} has no MAC address`)
  return {
    name,
    mac: current ?? permanent,
    permanentMac: permanent !== current && current !== undefined ? permanent : undefined,
    hasLink: linkStatus(one),
    speedMbps: speed(numberOf(one, 'SpeedMbps')),
  }
}

async function adaptersOf(walk: Walk, system: Resource, chassis: readonly Resource[]): Promise<Resource[]> {
  const adapters: Resource[] = []
  // The system's own list of interfaces leads to the adapters that it may use; the chassis has all, also those of a neighbour.
  for (const one of await walk.members(linkOf(system, 'NetworkInterfaces'))) {
    const adapter = await walk.read(linksOf(child(one, 'Links'), 'NetworkAdapter')[0])
    if (adapter) adapters.push(adapter)
  }
  if (adapters.length > 0) return adapters
  for (const one of chassis) adapters.push(...(await walk.members(linkOf(one, 'NetworkAdapters'))))
  return adapters
}

/** One NIC for each Ethernet function, with the link of the port that it uses; or one for each port where there are no functions. */
async function readAdapter(walk: Walk, adapter: Resource): Promise<InventoryNic[]> {
  if (!isPresent(adapter)) return []
  const what = {
    manufacturer: textOf(adapter, 'Manufacturer'),
    model: textOf(adapter, 'Model') ?? textOf(adapter, 'Name'),
    serial: textOf(adapter, 'SerialNumber'),
  }
  const functions = await walk.members(linkOf(adapter, 'NetworkDeviceFunctions'))
  const nics: InventoryNic[] = []
  for (const one of functions) {
    const ethernet = child(one, 'Ethernet')
    const current = macFrom(ethernet?.['MACAddress'])
    const permanent = macFrom(ethernet?.['PermanentMACAddress'])
    if (current === undefined && permanent === undefined) continue
    const links = child(one, 'Links')
    const port = await walk.read(
      linksOf(links, 'PhysicalPortAssignment')[0] ??
        linksOf(one, 'PhysicalPortAssignment')[0] ??
        linksOf(one, 'AssignablePhysicalPorts')[0],
    )
    nics.push({
      name: textOf(one, 'Id'),
      mac: current ?? permanent,
      permanentMac: permanent !== current && current !== undefined ? permanent : undefined,
      ...(port ? portOf(port) : {}),
      ...what,
    })
  }
  if (nics.length > 0) return nics
  const ports = [
    ...(await walk.members(linkOf(adapter, 'Ports'))),
    ...(await walk.members(linkOf(adapter, 'NetworkPorts'))),
  ]
  return ports.flatMap((port) => {
    const mac = addressesOf(port)
      .map(macFrom)
      .find((one) => one !== undefined)
    return mac === undefined ? [] : { name: textOf(port, 'Id'), mac, ...portOf(port), ...what }
  })
}

/** Addresses of a Port (DSP2046) or of a NetworkPort, its forerunner. */
function addressesOf(port: Resource): unknown[] {
  return [child(port, 'Ethernet')?.['AssociatedMACAddresses'], port['AssociatedNetworkAddresses']].flatMap((list) =>
    Array.isArray(list) ? list.slice(0, 64) : [],
  )
}

function portOf(port: Resource): Pick<InventoryNic, 'hasLink' | 'speedMbps'> {
  const gbps = numberOf(port, 'CurrentSpeedGbps')
  const mbps =
    numberOf(port, 'CurrentLinkSpeedMbps') ?? numberOf(objectsOf(port, 'SupportedLinkCapabilities')[0], 'LinkSpeedMbps')
  return { hasLink: linkStatus(port), speedMbps: speed(gbps === undefined ? mbps : gbps * 1000) }
}

/** `LinkUp`, `Up`; a port that says nothing of its link but that it is disabled has none. */
function linkStatus(resource: Resource): boolean | undefined {
  const status = textOf(resource, 'LinkStatus')
  if (status === undefined) return undefined
  if (/^(link)?up$/i.test(status)) return true
  return /^(link)?down$|^nolink$/i.test(status) ? false : undefined
}

function speed(mbps: number | undefined): number | undefined {
  const whole = mbps === undefined ? 0 : Math.round(mbps)
  return whole > 0 && Number.isSafeInteger(whole) ? whole : undefined
}

/** What is known of one card already stays; what is new is added. */
function addOrJoin(nics: InventoryNic[], nic: InventoryNic): void {
  const macs = [nic.mac, nic.permanentMac].filter((one) => one !== undefined)
  const same = nics.find((one) => macs.some((mac) => mac === one.mac || mac === one.permanentMac))
  if (!same) return void nics.push(nic)
  for (const [key, value] of Object.entries(nic))
    if (value !== undefined && same[key as keyof InventoryNic] === undefined) Object.assign(same, { [key]: value })
}
