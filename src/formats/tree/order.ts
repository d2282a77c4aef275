/** Brings merged nodes into the order of a tree: depth first, siblings by the bytes of their names. */
import type { Nodes } from './nodes.ts'

export interface Order {
  /** Node by position; the root is at 0. */
  readonly nodes: Uint32Array
  /** Position of the directory that a position lies in; the root lies in itself. */
  readonly parents: Uint32Array
  /** Positions of what is in the directory at position `p`, in order: `kids[kidsFrom[p]]` to `kids[kidsFrom[p + 1] - 1]`. */
  readonly kids: Uint32Array
  readonly kidsFrom: Uint32Array
}

export function orderOf(nodes: Nodes, root: number): Order {
  const { from, children, count } = childrenOf(nodes, root)
  const order = new Uint32Array(count)
  const positions = new Uint32Array(nodes.count)
  // A stack of its own: 2,000 directories within each other are allowed.
  const stack = new Uint32Array(count)
  let depth = 1
  stack[0] = root
  for (let position = 0; position < count; position += 1) {
    const node = stack[--depth]!
    order[position] = node
    positions[node] = position
    for (let at = from[node + 1]! - 1; at >= from[node]!; at -= 1) stack[depth++] = children[at]!
  }
  const parents = new Uint32Array(count)
  const kids = new Uint32Array(count - 1)
  const kidsFrom = new Uint32Array(count + 1)
  let filled = 0
  for (let position = 0; position < count; position += 1) {
    const node = order[position]!
    kidsFrom[position] = filled
    for (let at = from[node]!; at < from[node + 1]!; at += 1) {
      const kid = positions[children[at]!]!
      kids[filled++] = kid
      parents[kid] = position
    }
  }
  kidsFrom[count] = filled
  return { nodes: order, parents, kids, kidsFrom }
}

/** What is in each directory, sorted: `children[from[node]]` to `children[from[node + 1] - 1]`. The gone are left out. */
function childrenOf(nodes: Nodes, root: number) {
  const isThere = new Uint8Array(nodes.count)
  const from = new Uint32Array(nodes.count + 1)
  let count = 1
  isThere[root] = 1
  // A node's number is greater than that of its directory.
  for (let node = root + 1; node < nodes.count; node += 1) {
    if (isThere[nodes.parent[node]!] === 0 || nodes.isGone(node)) continue
    isThere[node] = 1
    count += 1
    from[nodes.parent[node]! + 1]! += 1
  }
  for (let node = 0; node < nodes.count; node += 1) from[node + 1]! += from[node]!
  const children = new Uint32Array(count - 1)
  const next = from.slice()
  for (let node = root + 1; node < nodes.count; node += 1)
    if (isThere[node] === 1) children[next[nodes.parent[node]!]!++] = node
  for (let node = root; node < nodes.count; node += 1) sort(children.subarray(from[node], from[node + 1]), nodes)
  return { from, children, count }
}

/** Archives are mostly sorted already. */
function sort(siblings: Uint32Array, { names, name }: Nodes): void {
  const nameOf = (node: number) => names[name[node]!]!
  for (let at = 1; at < siblings.length; at += 1)
    if (nameOf(siblings[at - 1]!) > nameOf(siblings[at]!)) {
      siblings.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
      return
    }
}
