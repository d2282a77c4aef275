/** Nodes of a file as machines, and machines as nodes of a file. */
import { randomUUID } from 'node:crypto'
import { AppError } from '../../base/errors.ts'
import type { NodeEntry } from '../../formats/nodes/nodes.ts'
import type { NodeValue } from '../../formats/nodes/write.ts'
import { machineSpec } from '../../model/machine.ts'
import type { StoredMachine } from './ports.ts'

type Given = Partial<StoredMachine> & Pick<StoredMachine, 'name' | 'macs' | 'interfaces'>

/** What a node says of a machine. */
function fieldsOf({ name, xname, nid, groups, role, labels, enabled, bmc, interfaces }: NodeEntry): Given {
  const given = {
    name,
    macs: interfaces.map(({ mac }) => mac),
    interfaces: interfaces.map(({ mac, addresses }) => ({ mac, addresses: [...addresses] })),
    xname,
    nid,
    groups: groups && [...groups],
    role,
    labels,
    enabled,
    bmcName: bmc?.name,
    bmcXname: bmc?.xname,
    bmcMac: bmc?.mac,
    bmcIp: bmc?.ip,
    bmcFqdn: bmc?.fqdn,
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Given
}

/** A known machine with what a node says of it. */
export function merged(before: StoredMachine, node: NodeEntry): StoredMachine {
  const given = fieldsOf(node)
  const next = { ...before, ...given }
  // Addresses of the file are all that the boot interface has, not the ones after another.
  const first = given.interfaces?.[0]?.addresses.find(({ ip }) => !ip.includes(':'))?.ip
  if (first !== undefined && next.ip !== first) delete next.ip
  return next
}

/** @throws {AppError} invalid, naming the line, where a machine cannot be so */
export function made(node: NodeEntry, source: string, createdAt: number): StoredMachine {
  const parsed = machineSpec.safeParse(fieldsOf(node))
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    const why = `${issue.path.join('.')} ${issue.message}`
    throw new AppError('invalid', `Cannot use "${source}": line ${node.line}: node "${node.name}": ${why}`)
  }
  return {
    ...parsed.data,
    id: randomUUID(),
    hasBmcPassword: false,
    // Who writes a file has decided on what stands in it.
    admission: 'accepted',
    cordoned: false,
    createdAt,
  }
}

export function toNode(machine: StoredMachine): NodeValue {
  const { name, xname, nid, groups, role, labels, enabled, macs, ip, interfaces = [] } = machine
  const bmc = {
    name: machine.bmcName,
    xname: machine.bmcXname,
    mac: machine.bmcMac,
    ip: machine.bmcIp,
    fqdn: machine.bmcFqdn,
  }
  const addressesFor = (mac: string) => {
    const own = interfaces.find((one) => one.mac === mac)?.addresses ?? []
    const given = ip !== undefined && mac === macs[0] ? (own.find((address) => address.ip === ip) ?? { ip }) : undefined
    const all = given ? [given, ...own.filter((address) => address.ip !== ip)] : own
    return all.map(({ name: network, ip: one }) => (network === undefined ? { ip: one } : { name: network, ip: one }))
  }
  const value = {
    name,
    nid,
    xname,
    groups: groups.length === 0 ? undefined : groups,
    role,
    labels: Object.keys(labels).length === 0 ? undefined : labels,
    enabled: enabled ? undefined : false,
    bmc: Object.values(bmc).some((field) => field !== undefined) ? withoutUndefined(bmc) : undefined,
    interfaces: macs.map((mac) => ({ mac, addresses: addressesFor(mac) })),
  }
  return withoutUndefined(value) as NodeValue
}

function withoutUndefined(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}
