/** Machines: added, changed, removed, and what they say of themselves. */
import { randomUUID } from 'node:crypto'
import type { Now } from '../../base/clock.ts'
import { AppError } from '../../base/errors.ts'
import { machineCalled, type Machine, type MachineChange, type MachineSpec } from '../../model/machine.ts'
import { decide, type Decision } from './admission.ts'
import type { MachineStore, StoredMachine } from './ports.ts'

export interface MachinesDeps {
  readonly store: MachineStore
  /** @throws {AppError} invalid when the address is not one of a BMC that we can speak to */
  readonly checkBmc: (url: string) => void
  readonly leasedIp: (macs: readonly string[]) => string | undefined
  readonly now: Now
}

export type MachinesService = ReturnType<typeof createMachines>

export function createMachines({ store, checkBmc, leasedIp, now }: MachinesDeps) {
  const view = (machine: StoredMachine): Machine => {
    const ip = leasedIp(machine.macs)
    return ip === undefined ? machine : { ...machine, leasedIp: ip }
  }

  /** As `machineCalled`, or by the first digits of an id that only one machine has. @throws {AppError} not_found, invalid */
  async function find(reference: string): Promise<StoredMachine> {
    // Most references are names; a list for each would make a command on a thousand machines one on a million.
    const named = await store.byName(reference)
    if (named) return named
    const all = await store.list()
    const exact = machineCalled(all, reference)
    if (exact) return exact
    const begun = reference.length >= 4 ? all.filter((machine) => machine.id.startsWith(reference)) : []
    if (begun.length > 1)
      throw new AppError(
        'invalid',
        `Cannot tell which machine "${reference}" is: ${begun.map((m) => m.name).join(', ')}`,
      )
    if (!begun[0])
      throw new AppError(
        'not_found',
        `Cannot find machine "${reference}": ${all.length === 0 ? 'none is known; add one with: bareboat machine add' : `known are ${names(all)}`}`,
      )
    return begun[0]
  }

  return {
    find,

    /** @throws {AppError} conflict when name, MAC or address is taken; invalid when the BMC address is none */
    async add(spec: MachineSpec): Promise<Machine> {
      if (spec.bmc !== undefined) checkBmc(spec.bmc)
      const { bmcPassword, ...rest } = spec
      const id = randomUUID()
      const machine = withMacs({
        ...rest,
        id,
        hasBmcPassword: bmcPassword !== undefined,
        admission: 'accepted',
        cordoned: false,
        createdAt: now(),
      })
      await store.insert(machine, bmcPassword, machineEvent('create', machine))
      return view(machine)
    },

    /** @throws {AppError} as `find` and `add` */
    async change(reference: string, change: MachineChange): Promise<Machine> {
      const before = await find(reference)
      const { bmcPassword, ...rest } = change
      if (rest.bmc !== undefined) checkBmc(rest.bmc)
      const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined))
      const changed = await store.update(
        before.id,
        (seen) => {
          const hasBmcPassword = seen.hasBmcPassword || bmcPassword !== undefined
          const next = { ...seen, ...given, hasBmcPassword }
          return rest.interfaces === undefined ? withoutLost(next) : withMacs(next)
        },
        bmcPassword,
        machineEvent('update', before),
      )
      if (!changed)
        throw new AppError('not_found', `Cannot change machine "${before.name}": it was removed in the meantime`)
      return view(changed)
    },

    /**
     * Takes a person's decision down. One that changes nothing is no event.
     * @param name for `accept`: what it is called from now on
     * @throws {AppError} not_found, conflict
     */
    async decide(reference: string, decision: Decision, name?: string): Promise<Machine> {
      const { id, name: before, ...rest } = await find(reference)
      const change = (seen: StoredMachine) => decide(seen, decision, name)
      await store.update(id, change, undefined, machineEvent(decision, { id, name: name ?? before, ...rest }))
      const machine = await store.byId(id)
      if (!machine)
        throw new AppError('not_found', `Cannot ${decision} machine "${before}": it was removed in the meantime`)
      return view(machine)
    },

    /** @throws {AppError} conflict while a container lives on it */
    async remove(reference: string): Promise<Machine> {
      const machine = await find(reference)
      await store.remove(machine.id, machineEvent('destroy', machine))
      return view(machine)
    },

    list: async (): Promise<Machine[]> => (await store.list()).map(view),
    get: async (reference: string): Promise<Machine> => view(await find(reference)),

    /** Keeps what a machine says of itself: what it measured is truer than what was written down. */
    async learn(machineId: string, facts: { memoryMiB?: number; firmware?: 'bios' | 'uefi' }): Promise<void> {
      const machine = await store.byId(machineId)
      if (!machine) return
      const isNews = (seen: StoredMachine): boolean =>
        (facts.memoryMiB ?? seen.memoryMiB) !== seen.memoryMiB || (facts.firmware ?? seen.firmware) !== seen.firmware
      if (!isNews(machine)) return
      const change = (seen: StoredMachine) => (isNews(seen) ? { ...seen, ...facts } : undefined)
      await store.update(machineId, change, undefined, machineEvent('learn', machine))
    },
  }
}

/** Each interface is one that the machine may boot by. */
function withMacs(machine: StoredMachine): StoredMachine {
  const { macs, interfaces = [] } = machine
  return { ...machine, macs: [...new Set([...macs, ...interfaces.map((one) => one.mac)])] }
}

/** An interface whose MAC was taken away is gone. */
function withoutLost(machine: StoredMachine): StoredMachine {
  const { macs, interfaces } = machine
  if (interfaces === undefined) return machine
  return { ...machine, interfaces: interfaces.filter(({ mac }) => macs.includes(mac)) }
}

function names(machines: readonly StoredMachine[]): string {
  const shown = machines.slice(0, 8).map((machine) => machine.name)
  return shown.join(', ') + (machines.length > shown.length ? ` and ${machines.length - shown.length} more` : '')
}

export function machineEvent(action: string, machine: StoredMachine) {
  return {
    kind: 'machine',
    action,
    subjectId: machine.id,
    name: machine.name,
    source: 'daemon',
    attributes: {},
  } as const
}
