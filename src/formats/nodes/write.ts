/** A nodes file of entries: what `parseNodes` reads back as the same. */
import { stringify } from 'yaml'
import { referenceOf, type BmcEntry, type NodeEntry } from './nodes.ts'

/** A node as it is written; its line is the reader's. */
export type NodeValue = Omit<NodeEntry, 'line' | 'bmc' | 'interfaces'> & {
  readonly bmc?: Omit<BmcEntry, 'line'>
  readonly interfaces: readonly Omit<NodeEntry['interfaces'][number], 'line'>[]
}

/**
 * A list of nodes, as the oldest form of the file is; or `bmcs:` and `nodes:`, where a BMC has a name or an xname, which the
 * list has no place for.
 */
export function serializeNodes(nodes: readonly NodeValue[], format: 'yaml' | 'json'): string {
  const isNamed = nodes.some(({ bmc }) => bmc?.name !== undefined || bmc?.xname !== undefined)
  const document = isNamed ? withBmcs(nodes) : nodes.map((node) => nodeFields(node, ownBmc(node)))
  return format === 'json'
    ? `${JSON.stringify(document, null, 2)}\n`
    : stringify(document, { indentSeq: false, lineWidth: 0 })
}

function withBmcs(nodes: readonly NodeValue[]): object {
  const bmcs = new Map<string, object>()
  const values = nodes.map((node) => {
    const { bmc } = node
    if (bmc?.name === undefined && bmc?.xname === undefined) return nodeFields(node, ownBmc(node))
    const reference = referenceOf({ line: 0, ...bmc })
    bmcs.set(reference, defined({ name: bmc.name, xname: bmc.xname, mac: bmc.mac, ip: bmc.ip, fqdn: bmc.fqdn }))
    return nodeFields(node, { bmc: reference })
  })
  return { bmcs: [...bmcs.values()], nodes: values }
}

function ownBmc({ bmc }: NodeValue): object {
  return defined({ bmc_mac: bmc?.mac, bmc_ip: bmc?.ip, bmc_fqdn: bmc?.fqdn })
}

function nodeFields(node: NodeValue, bmc: object): object {
  const { groups = [] } = node
  return defined({
    name: node.name,
    nid: node.nid,
    xname: node.xname,
    ...bmc,
    group: groups.length === 1 ? groups[0] : undefined,
    groups: groups.length > 1 ? groups : undefined,
    role: node.role,
    enabled: node.enabled,
    labels: node.labels,
    interfaces: node.interfaces.map(({ mac, addresses }) => ({
      mac_addr: mac,
      ip_addrs: addresses.map(({ name, ip }) => defined({ name, ip_addr: ip })),
    })),
  })
}

function defined(fields: Record<string, unknown>): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}
