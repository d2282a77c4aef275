/** Which machine a crawled system is. Pure. */
import { AppError } from '../../base/errors.ts'
import type { DiscoveredBmc, ImportStep } from '../../model/discovery.ts'
import type { Inventory } from '../../model/inventory.ts'

/** A machine by what it can be known by. */
export interface Known {
  readonly id: string
  readonly name: string
  readonly macs: readonly string[]
  readonly serial: string | undefined
  readonly uuid: string | undefined
}

export interface Candidate {
  readonly bmc: DiscoveredBmc
  readonly system: Inventory
}

export interface Match {
  readonly candidate: Candidate
  /** Undefined for a system that is none of the known machines. */
  readonly machine: Known | undefined
  readonly matchedBy: ImportStep['matchedBy']
  readonly notes: string[]
}

type Kind = ImportStep['matchedBy'][number]
type Key = readonly [kind: Kind, value: string]

/**
 * Finds the machine of each system. A serial number or UUID that several systems or machines have is nobody's: makers give the blades
 * of one board one serial number, and some give all boards one UUID.
 * @throws {AppError} conflict when a system is two machines, two systems are one machine, or two systems have one MAC address; it
 * names both
 */
export function matchSystems(known: readonly Known[], candidates: readonly Candidate[]): Match[] {
  const ofMachines = indexOf(known, (machine) => keysOf(machine.serial, machine.uuid, machine.macs))
  const ofSystems = indexOf(candidates, ({ system }) => keysOfSystem(system))
  refuseSharedMac(ofSystems)
  const systemOf = new Map<string, Candidate>()
  return candidates.map((candidate) => {
    const notes: string[] = []
    const found = new Map<string, { machine: Known; matchedBy: Kind[] }>()
    for (const [kind, value] of keysOfSystem(candidate.system)) {
      const key = textOf(kind, value)
      const isShared = (ofSystems.get(key)?.length ?? 0) > 1 || (ofMachines.get(key)?.length ?? 0) > 1
      if (isShared) notes.push(`${LABELS[kind]} ${value} is not its own: others have it too`)
      else
        for (const machine of ofMachines.get(key) ?? []) {
          const one = found.get(machine.id) ?? { machine, matchedBy: [] }
          if (!one.matchedBy.includes(kind)) one.matchedBy.push(kind)
          found.set(machine.id, one)
        }
    }
    const matches = [...found.values()]
    if (matches.length > 1) {
      const both = matches.map(
        ({ machine, matchedBy }) => `"${machine.name}" (by ${matchedBy.map((kind) => LABELS[kind]).join(' and ')})`,
      )
      throw new AppError(
        'conflict',
        `Cannot import ${describe(candidate)}: it is machine ${both.join(' and machine ')}; remove one of them, or correct it with: bareboat machine set`,
      )
    }
    const match = matches[0]
    if (match) {
      const before = systemOf.get(match.machine.id)
      if (before)
        throw new AppError(
          'conflict',
          `Cannot import ${describe(candidate)}: ${describe(before)} is machine "${match.machine.name}" as well; import them one by one once it is clear which it is`,
        )
      systemOf.set(match.machine.id, candidate)
      notes.push(...contradictions(match.machine, candidate.system))
    }
    return { candidate, machine: match?.machine, matchedBy: match?.matchedBy ?? [], notes }
  })
}

const LABELS: Readonly<Record<Kind, string>> = { serial: 'serial number', uuid: 'UUID', mac: 'MAC address' }

function keysOfSystem({ system, nics }: Inventory): Key[] {
  return keysOf(
    system.serial,
    system.uuid,
    nics.flatMap(({ mac, permanentMac }) => [mac, permanentMac].filter((one) => one !== undefined)),
  )
}

function keysOf(serial: string | undefined, uuid: string | undefined, macs: readonly string[]): Key[] {
  const keys: Key[] = []
  if (serial !== undefined) keys.push(['serial', serial])
  if (uuid !== undefined) keys.push(['uuid', uuid.toLowerCase()])
  for (const mac of new Set(macs)) keys.push(['mac', mac])
  return keys
}

function indexOf<T>(things: readonly T[], keys: (thing: T) => Key[]): Map<string, T[]> {
  const index = new Map<string, T[]>()
  for (const thing of things)
    for (const [kind, value] of keys(thing))
      index.set(textOf(kind, value), [...(index.get(textOf(kind, value)) ?? []), thing])
  return index
}

/** A card is in one machine only: two systems with it are one that two BMCs show, or one BMC lies. */
function refuseSharedMac(ofSystems: ReadonlyMap<string, readonly Candidate[]>): void {
  for (const [key, [first, second]] of ofSystems)
    if (key.startsWith('mac ') && first && second)
      throw new AppError(
        'conflict',
        `Cannot import ${describe(second)}: ${describe(first)} has the same MAC address ${key.slice(4)}; import one of them alone by the address of its BMC`,
      )
}

function contradictions(machine: Known, { system }: Inventory): string[] {
  const serial = machine.serial !== undefined && system.serial !== undefined && machine.serial !== system.serial
  const uuid = machine.uuid !== undefined && system.uuid !== undefined && machine.uuid.toLowerCase() !== system.uuid
  return [
    ...(serial ? [`its serial number was ${machine.serial} and is ${system.serial}: was its board replaced?`] : []),
    ...(uuid ? [`its UUID was ${machine.uuid} and is ${system.uuid}: was its board replaced?`] : []),
  ]
}

function describe({ bmc, system }: Candidate): string {
  return `system "${system.system.serial ?? system.system.url ?? 'without a name'}" of BMC "${bmc.address}"`
}

function textOf(kind: Kind, value: string): string {
  return `${kind} ${value}`
}
