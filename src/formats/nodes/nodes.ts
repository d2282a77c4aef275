/**
 * The static discovery file, OpenCHAMI's `nodes.yaml`: which nodes there are, with their BMCs and interfaces.
 *
 * Read in each shape that is in use: a list of nodes; `nodes:` with the BMC's fields in each node; `bmcs:` and `nodes:` with a
 * reference (ochami `pkg/discover`). Each as YAML or JSON.
 */
import { ROLES } from '../../base/roles.ts'
import { bmcOfXname } from '../../base/xname.ts'
import {
  asGroup,
  createRemarks,
  fieldsOf,
  shown,
  throwFaults,
  type Fields,
  type Remark,
  type Remarks,
} from './fields.ts'
import { parseLocated, type Located } from './located.ts'
import { refuseTwice } from './twice.ts'

export interface NodesFile {
  readonly nodes: readonly NodeEntry[]
  readonly warnings: readonly Remark[]
}

/** What is absent in the file is absent here. */
export interface NodeEntry {
  readonly line: number
  /** As written; else the xname; else `nid` and the number. */
  readonly name: string
  readonly xname?: string
  readonly nid?: number
  /** `group` and `groups`, each once, in their order. */
  readonly groups?: readonly string[]
  readonly bmc?: BmcEntry
  readonly interfaces: readonly InterfaceEntry[]
  readonly role?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly enabled?: boolean
}

export interface BmcEntry {
  readonly line: number
  readonly name?: string
  readonly xname?: string
  readonly mac?: string
  readonly ip?: string
  readonly fqdn?: string
}

export interface InterfaceEntry {
  readonly line: number
  readonly mac: string
  readonly addresses: readonly AddressEntry[]
}

/** `name` is that of the network. */
export interface AddressEntry {
  readonly name?: string
  readonly ip: string
}

const WHAT = 'nodes file'
const MAX_INTERFACES = 32
const MAX_ADDRESSES = 64
const MAX_GROUPS = 64

/**
 * @throws {WireError} naming each fault with its line: what is no YAML, a field of the wrong kind, a MAC, xname, nid, name or
 * address that two entries have
 */
export function parseNodes(text: string): NodesFile {
  const remarks = createRemarks()
  const top = parseLocated(text, WHAT)
  const { nodes, bmcs } = sections(top, remarks)
  const byReference = readBmcs(bmcs, remarks)
  const used = new Set<BmcEntry>()
  const entries = nodes.map((node) => readNode(node, byReference, used, remarks)).filter((node) => node !== undefined)
  for (const bmc of new Set(byReference.values()))
    if (!used.has(bmc)) remarks.warn(bmc.line, `no node refers to BMC "${shown(referenceOf(bmc))}", which is not kept`)
  refuseTwice(entries, remarks)
  throwFaults(remarks, WHAT)
  return { nodes: entries, warnings: remarks.warnings.toSorted((a, b) => a.line - b.line) }
}

function sections(top: Located, remarks: Remarks): { nodes: readonly Located[]; bmcs: readonly Located[] } {
  if (top.kind === 'list') return { nodes: top.items, bmcs: [] }
  if (top.kind === 'scalar') {
    remarks.fault(top.line, 'there is neither a list of nodes nor a map with "nodes"')
    return { nodes: [], bmcs: [] }
  }
  const fields = fieldsOf(top, 'the file', remarks)
  const [nodes, bmcs] = [fields.list('nodes'), fields.list('bmcs')]
  if (!nodes && !fields.has('nodes')) remarks.fault(top.line, 'there is no list "nodes"')
  fields.warnOthers()
  return { nodes: nodes ?? [], bmcs: bmcs ?? [] }
}

/** The BMCs of the newer format, under each name that a node may call them by. */
function readBmcs(values: readonly Located[], remarks: Remarks): Map<string, BmcEntry> {
  const byReference = new Map<string, BmcEntry>()
  for (const value of values) {
    const fields = fieldsOf(value, 'a BMC', remarks)
    const bmc = present<BmcEntry>({
      line: fields.line,
      name: fields.name('name'),
      xname: fields.xname('xname', 'bmc'),
      mac: fields.mac('mac'),
      ip: fields.ip('ip'),
      fqdn: fields.host('fqdn'),
    })
    fields.warnOthers()
    if (value.kind !== 'map') continue
    if (bmc.name === undefined && bmc.xname === undefined)
      remarks.fault(bmc.line, 'a BMC has neither a name nor an xname that a node could refer to')
    for (const reference of new Set([bmc.name, bmc.xname])) {
      const before = reference === undefined ? undefined : byReference.get(reference)
      if (before) remarks.fault(bmc.line, `BMC "${shown(reference!)}" is there already on line ${before.line}`)
      else if (reference !== undefined) byReference.set(reference, bmc)
    }
  }
  return byReference
}

function readNode(
  value: Located,
  bmcs: ReadonlyMap<string, BmcEntry>,
  used: Set<BmcEntry>,
  remarks: Remarks,
): NodeEntry | undefined {
  const fields = fieldsOf(value, 'a node', remarks)
  if (value.kind !== 'map') return undefined
  const xname = fields.xname('xname', 'node')
  const nid = fields.nid('nid')
  const name = fields.name('name') ?? xname ?? (nid === undefined ? undefined : `nid${nid}`)
  const bmc = readBmcOf(fields, bmcs, xname, remarks)
  if (bmc) used.add(bmc)
  const interfaces = (fields.list('interfaces') ?? []).map((item) => readInterface(item, remarks))
  const node = present<NodeEntry>({
    line: fields.line,
    name: name ?? '',
    xname,
    nid,
    groups: readGroups(fields, remarks),
    bmc,
    interfaces: interfaces.filter((found) => found !== undefined),
    role: fields.scalar('role', ROLES.join(', '), (text) =>
      ROLES.find((role) => role.toLowerCase() === text.toLowerCase()),
    ),
    labels: fields.map('labels'),
    enabled: fields.boolean('enabled'),
  })
  fields.warnOthers()
  if (name === undefined && !['name', 'xname', 'nid'].some(fields.has))
    remarks.fault(node.line, 'a node has neither name nor xname nor nid')
  if (interfaces.length === 0)
    remarks.fault(node.line, `node "${shown(node.name)}" has no interface, and a machine boots by the MAC of one`)
  if (interfaces.length > MAX_INTERFACES)
    remarks.fault(
      node.line,
      `node "${shown(node.name)}" has ${interfaces.length} interfaces; at most ${MAX_INTERFACES}`,
    )
  return node
}

/** Either the fields of the BMC itself, or a reference to one of `bmcs`. */
function readBmcOf(
  fields: Fields,
  bmcs: ReadonlyMap<string, BmcEntry>,
  xname: string | undefined,
  remarks: Remarks,
): BmcEntry | undefined {
  const own = { mac: fields.mac('bmc_mac'), ip: fields.ip('bmc_ip'), fqdn: fields.host('bmc_fqdn') }
  const hasOwn = ['bmc_mac', 'bmc_ip', 'bmc_fqdn'].some(fields.has)
  const reference = fields.text('bmc')
  const line = fields.lineOf('bmc')
  if (reference === undefined) {
    if (!fields.has('bmc') && !fields.has('bmc_mac') && (hasOwn || bmcs.size === 0))
      remarks.warn(fields.line, 'a node has no bmc_mac; OpenCHAMI needs one')
    return hasOwn ? present<BmcEntry>({ line: fields.line, ...own }) : undefined
  }
  if (hasOwn) remarks.fault(line, `bmc "${shown(reference)}" and bmc_mac, bmc_ip or bmc_fqdn exclude each other`)
  const found = bmcs.get(reference) ?? bmcs.get(reference.toLowerCase())
  if (!found) remarks.fault(line, `bmc "${shown(reference)}" is none of the file's bmcs`)
  const told = xname && bmcOfXname(xname)
  if (found?.xname !== undefined && told !== undefined && found.xname !== told)
    remarks.warn(line, `the xname "${xname}" says that its BMC is "${told}", not "${found.xname}"`)
  return found
}

function readInterface(value: Located, remarks: Remarks): InterfaceEntry | undefined {
  const fields = fieldsOf(value, 'an interface', remarks)
  if (value.kind !== 'map') return undefined
  const mac = fields.mac('mac_addr')
  if (!fields.has('mac_addr')) remarks.fault(fields.line, 'an interface has no mac_addr')
  const addresses = (fields.list('ip_addrs') ?? []).map((item) => readAddress(item, remarks))
  fields.warnOthers()
  if (addresses.length > MAX_ADDRESSES)
    remarks.fault(fields.line, `an interface has ${addresses.length} addresses; at most ${MAX_ADDRESSES}`)
  if (mac === undefined) return undefined
  return { line: fields.lineOf('mac_addr'), mac, addresses: addresses.filter((found) => found !== undefined) }
}

function readAddress(value: Located, remarks: Remarks): AddressEntry | undefined {
  const fields = fieldsOf(value, 'an address', remarks)
  if (value.kind !== 'map') return undefined
  // The same by the word of the seed and by that of ochami's first format.
  const [name, network] = [fields.text('name'), fields.text('network')]
  const ip = fields.ip('ip_addr')
  fields.warnOthers()
  if (name !== undefined && network !== undefined && name !== network)
    remarks.fault(
      fields.line,
      `an address has the name "${shown(name)}" and the network "${shown(network)}", which are one`,
    )
  if (!fields.has('ip_addr')) remarks.fault(fields.line, 'an address has no ip_addr')
  return ip === undefined ? undefined : present<AddressEntry>({ name: name ?? network, ip })
}

function readGroups(fields: Fields, remarks: Remarks): readonly string[] | undefined {
  const one = fields.scalar('group', GROUP_MEANS, asGroup)
  const many = fields.list('groups')
  if (one === undefined && many === undefined) return undefined
  const groups = new Set(one === undefined ? [] : [one])
  for (const item of many ?? []) {
    const group = item.kind === 'scalar' ? asGroup(item.text) : undefined
    if (group !== undefined) groups.add(group)
    else
      remarks.fault(
        item.line,
        `the group ${item.kind === 'scalar' ? `"${shown(item.text)}"` : item.kind} is not ${GROUP_MEANS}`,
      )
  }
  if (groups.size > MAX_GROUPS)
    remarks.fault(fields.lineOf('groups'), `there are ${groups.size} groups; at most ${MAX_GROUPS}`)
  return [...groups]
}

const GROUP_MEANS = 'the name of a group: letters, digits, _ . : - after a letter or digit, at most 128'

function referenceOf(bmc: BmcEntry): string {
  return bmc.name ?? bmc.xname ?? bmc.mac ?? ''
}

/** The fields that are there. */
function present<T extends object>(fields: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T
}
