/** What a nodes file changes, decided before anything is written. */
import { isDeepStrictEqual } from 'node:util'
import type { Now } from '../../base/clock.ts'
import { AppError } from '../../base/errors.ts'
import type { NodeEntry } from '../../formats/nodes/nodes.ts'
import type { StaticReport } from '../../model/nodes.ts'
import { addressesOf } from '../../model/addresses.ts'
import type { MachineInterface } from '../../model/machine.ts'
import { machineEvent } from './machines.ts'
import { keysOf, lineOf, macKey, partnersOf } from './match-nodes.ts'
import { made, merged, toNode } from './node-fields.ts'
import type { RosterChange, StoredMachine } from './ports.ts'

interface Plan {
  readonly change: RosterChange
  readonly report: StaticReport['machines']
}

/**
 * What a file changes. Fields that the file does not have stay as they are.
 * @throws {AppError} conflict, naming each line that does not fit
 */
export function planStatic(
  nodes: readonly NodeEntry[],
  known: readonly StoredMachine[],
  { source, overwrite, now }: { source: string; overwrite: boolean; now: Now },
): Plan {
  const faults: string[] = []
  const partners = partnersOf(nodes, known, faults)
  const after = new Map(known.map((machine) => [machine.id, machine]))
  const [inserts, updates, events]: [StoredMachine[], StoredMachine[], RosterChange['events'][number][]] = [[], [], []]
  const report: StaticReport['machines'] = []
  for (const node of nodes) {
    const before = partners.get(node)
    const next = before ? merged(before, node) : made(node, source, now())
    after.set(next.id, next)
    // An address may stand in `ip` or at its interface: a file has one place for both.
    const isSame = before !== undefined && isDeepStrictEqual(toNode(before), toNode(next))
    const changes = before && !isSame ? changesOf(before, next) : []
    const action = before ? (changes.length > 0 ? 'changed' : 'unchanged') : 'added'
    if (action === 'changed' && !overwrite)
      faults.push(
        `${lineOf(node)} is known as machine "${before!.name}" and differs: ${changes.map(changeText).join('; ')}`,
      )
    report.push({ line: node.line, name: node.name, action, changes })
    if (action === 'unchanged') continue
    if (before) updates.push(next)
    else inserts.push(next)
    events.push(machineEvent(before ? 'update' : 'create', next))
  }
  faults.push(...sharedBy([...after.values()]))
  if (faults.length > 0) {
    const help = overwrite ? '' : '\nTo change what is known: --overwrite'
    throw new AppError(
      'conflict',
      `Cannot use "${source}":${faults
        .slice(0, 50)
        .map((line) => `\n  ${line}`)
        .join('')}${help}`,
    )
  }
  return { change: { inserts, updates, events }, report }
}

type Change = StaticReport['machines'][number]['changes'][number]

function changesOf(before: StoredMachine, next: StoredMachine): Change[] {
  const fields = new Set([...Object.keys(before), ...Object.keys(next)]) as Set<keyof StoredMachine>
  const changed = [...fields].filter((field) => !isDeepStrictEqual(before[field], next[field]))
  // The MACs are those of the interfaces.
  return changed
    .filter((field) => field !== 'macs' || !changed.includes('interfaces'))
    .map((field) => ({ field, before: valueText(before[field]), after: valueText(next[field]) }))
}

function changeText({ field, before, after }: Change): string {
  return `${field} is ${before === '' ? 'not set' : before}, the file has ${after === '' ? 'none' : after}`
}

/** For people: lists with commas, nothing as ''. */
function valueText(value: unknown): string {
  if (value === undefined) return ''
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(',')
  if (Array.isArray(value)) return (value as MachineInterface[]).map(interfaceText).join(', ')
  return typeof value === 'object' ? JSON.stringify(value) : String(value as string | number | boolean)
}

function interfaceText({ mac, addresses }: MachineInterface): string {
  return [mac, ...addresses.map(({ name, ip }) => (name === undefined ? ip : `${ip} (${name})`))].join(' ')
}

/** What two machines would both have. */
function sharedBy(machines: readonly StoredMachine[]): string[] {
  const owners = new Map<string, string>()
  const bmcs = new Map<string, StoredMachine>()
  const faults: string[] = []
  for (const machine of machines) {
    // By its name a BMC is one, for every machine that it serves.
    const { bmcName, bmcXname } = machine
    for (const named of new Set([bmcName, bmcXname])) {
      const other = named === undefined ? undefined : bmcs.get(named)
      if (named !== undefined && !other) bmcs.set(named, machine)
      if (other && !isDeepStrictEqual(toNode(other).bmc, toNode(machine).bmc))
        faults.push(`BMC "${named}" of machine "${machine.name}" is another than that of machine "${other.name}"`)
    }
    const keys = [...keysOf(machine), ...machine.macs.map(macKey)].map(({ key }) => key)
    for (const key of [...keys, ...addressesOf(machine).map((address) => `address ${address}`)]) {
      const owner = owners.get(key)
      if (owner !== undefined) faults.push(`${key} of machine "${machine.name}" belongs to machine "${owner}" already`)
      else owners.set(key, machine.name)
    }
  }
  return faults
}
