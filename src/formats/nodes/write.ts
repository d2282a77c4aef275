/** A nodes file of entries: what `parseNodes` reads back as the same. */
import { stringify } from 'yaml'
import type { BmcEntry, NodeEntry } from './nodes.ts'

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
  return [...nodesText(nodes, format)].join('')
}

/** The same in pieces, since the text of thousands of nodes takes seconds. */
export function* nodesText(nodes: readonly NodeValue[], format: 'yaml' | 'json'): Generator<string> {
  const bmcs = new Map<string, object>()
  for (const { bmc } of nodes) {
    const reference = bmc && namedBy(bmc)
    if (reference !== undefined)
      bmcs.set(reference, defined({ name: bmc?.name, xname: bmc?.xname, mac: bmc?.mac, ip: bmc?.ip, fqdn: bmc?.fqdn }))
  }
  const values = nodes.map((node) => nodeFields(node, ownBmc(node)))
  if (format === 'json') {
    const document = bmcs.size === 0 ? values : { bmcs: [...bmcs.values()], nodes: values }
    yield `${JSON.stringify(document, null, 2)}\n`
    return
  }
  if (bmcs.size > 0) {
    yield 'bmcs:\n'
    for (const bmc of bmcs.values()) yield item(bmc)
    yield 'nodes:\n'
  }
  for (const value of values) yield item(value)
  if (values.length === 0) yield '[]\n'
}

/** One item of a list that is not indented. Readers of YAML 1.1 take `no` for false and a MAC of digits for a number, unless quoted. */
function item(value: object): string {
  return stringify([value], { indentSeq: false, lineWidth: 0, aliasDuplicateObjects: false, compat: 'yaml-1.1' })
}

function namedBy(bmc: Omit<BmcEntry, 'line'>): string | undefined {
  return bmc.name ?? bmc.xname
}

function ownBmc({ bmc }: NodeValue): object {
  const reference = bmc && namedBy(bmc)
  if (reference !== undefined) return { bmc: reference }
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
