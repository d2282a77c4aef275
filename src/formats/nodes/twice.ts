/** What may stand in a nodes file once only. */
import { shown, type Remarks } from './fields.ts'
import type { BmcEntry, NodeEntry } from './nodes.ts'

interface Holder {
  readonly node: NodeEntry
  readonly line: number
  /** `node "n1"`, `the BMC of node "n1"` */
  readonly title: string
}

/** Names both entries, with their lines, of each MAC, xname, nid, name or address that two have. */
export function refuseTwice(nodes: readonly NodeEntry[], remarks: Remarks): void {
  const seen = new Map<string, Holder>()
  const claim = (what: string, text: string | number | undefined, holder: Holder, mayShare = false): void => {
    if (text === undefined || text === '') return
    const key = `${what} ${text}`
    const before = seen.get(key)
    if (!before) seen.set(key, holder)
    else if (!mayShare || before.node !== holder.node)
      remarks.fault(
        holder.line,
        `${what} "${shown(String(text))}" of ${holder.title} is that of ${before.title} on line ${before.line} already`,
      )
  }
  for (const node of nodes) {
    const { line } = node
    const title = `node "${shown(node.name)}"`
    claim('name', node.name, { node, line, title })
    claim('xname', node.xname, { node, line, title })
    claim('nid', node.nid, { node, line, title })
    for (const { mac, line: at, addresses } of node.interfaces) {
      claim('MAC', mac, { node, line: at, title })
      // Interfaces of one bond have one address.
      for (const { ip } of addresses) claim('address', ip, { node, line: at, title }, true)
    }
  }
  // One BMC may serve several nodes: it is one where its MAC is one.
  const bmcs = new Map<string, BmcEntry>()
  const claimed = new Set<BmcEntry>()
  for (const node of nodes) {
    const { bmc } = node
    if (!bmc || claimed.has(bmc)) continue
    claimed.add(bmc)
    const before = bmc.mac === undefined ? undefined : bmcs.get(bmc.mac)
    if (before) {
      for (const field of ['ip', 'fqdn', 'name', 'xname'] as const)
        if (before[field] !== bmc[field])
          remarks.fault(
            bmc.line,
            `the BMC "${bmc.mac}" has the ${field} "${shown(bmc[field] ?? '')}", but "${shown(before[field] ?? '')}" on line ${before.line}`,
          )
      continue
    }
    if (bmc.mac !== undefined) bmcs.set(bmc.mac, bmc)
    const holder = { node, line: bmc.line, title: `the BMC of node "${shown(node.name)}"` }
    claim('MAC', bmc.mac, holder)
    claim('address', bmc.ip, holder)
  }
}
