/** Which known machine a node of a file is. */
import type { NodeEntry } from '../../formats/nodes/nodes.ts'
import type { StoredMachine } from './ports.ts'

/**
 * The machine that each node is, where it is known: by xname, nid or name; else by a MAC, of a machine that is no other node, since
 * a network card may have moved from one to the other.
 */
export function partnersOf(
  nodes: readonly NodeEntry[],
  known: readonly StoredMachine[],
  faults: string[],
): Map<NodeEntry, StoredMachine> {
  const by = new Map<string, StoredMachine>()
  for (const machine of known) {
    const { xname, nid, name, macs } = machine
    for (const { key } of [...keysOf({ xname, nid, name }), ...macs.map(macKey)]) by.set(key, machine)
  }
  const partners = new Map<NodeEntry, StoredMachine>()
  const takenBy = new Map<string, NodeEntry>()
  const match = (node: NodeEntry, keys: readonly Key[]): void => {
    const found = new Map<string, { machine: StoredMachine; what: string }>()
    for (const { key, what } of keys) {
      const machine = by.get(key)
      if (machine && !found.has(machine.id)) found.set(machine.id, { machine, what })
    }
    const matches = [...found.values()]
    const [first] = matches
    if (!first) return
    const rival = takenBy.get(first.machine.id)
    if (matches.length > 1) {
      const which = matches.map(({ machine, what }) => `machine "${machine.name}" by its ${what}`)
      faults.push(`${lineOf(node)} is ${which.join(', but ')}`)
    } else if (rival)
      faults.push(
        `${lineOf(node)} and node "${rival.name}" on line ${rival.line} are both machine "${first.machine.name}"`,
      )
    takenBy.set(first.machine.id, node)
    partners.set(node, first.machine)
  }
  for (const node of nodes) match(node, keysOf(node))
  for (const node of nodes) {
    if (partners.has(node)) continue
    const keys = node.interfaces.map(({ mac }) => macKey(mac))
    match(
      node,
      keys.filter(({ key }) => !takenBy.has(by.get(key)?.id ?? '')),
    )
  }
  return partners
}

interface Key {
  readonly key: string
  /** In words. */
  readonly what: string
}

/** What a machine alone has, but for its MACs. */
export function keysOf({ xname, nid, name }: Pick<StoredMachine, 'xname' | 'nid' | 'name'>): Key[] {
  const named = Object.entries({ xname, nid, name })
  return named.flatMap(([what, value]) => (value === undefined ? [] : [{ key: `${what} ${value}`, what }]))
}

export function macKey(mac: string): Key {
  return { key: `MAC ${mac}`, what: 'MAC' }
}

/** A node, for messages. */
export function lineOf({ line, name }: NodeEntry): string {
  return `line ${line}: node "${name}"`
}
