/** Groups of machines. A group is there when it was created, or when a machine is in it. */
import { AppError } from '../../base/errors.ts'
import type { NewEvent } from '../../model/event.ts'
import type { Group } from '../../model/nodes.ts'
import { machineCalled } from '../../model/machine.ts'
import { machineEvent } from './machines.ts'
import type { Roster, MachineStore, StoredMachine } from './ports.ts'

export type GroupsService = ReturnType<typeof createGroups>

export function createGroups(store: MachineStore) {
  async function list(): Promise<Group[]> {
    return groupsOf({ machines: await store.list(), groups: await store.groups() })
  }

  return {
    list,

    /** @throws {AppError} not_found */
    async get(name: string): Promise<Group> {
      return known(await list(), name)
    },

    /** @throws {AppError} conflict when there is one of that name; not_found for a machine */
    async create(name: string, description: string, references: readonly string[]): Promise<Group> {
      await store.changeAll((seen) => {
        if (seen.groups.some((group) => group.name === name))
          throw new AppError('conflict', `Cannot create group "${name}": there is one of that name`)
        const updates = resolved(seen, references, name)
          .filter((machine) => !machine.groups.includes(name))
          .map(into(name))
        return {
          newGroups: [{ name, description }],
          updates,
          events: [event('create', name), ...updates.map((machine) => machineEvent('update', machine))],
        }
      })
      return known(await list(), name)
    },

    /** Lets machines in and out. @throws {AppError} not_found for the group or a machine; then nothing is changed */
    async change(name: string, { add, remove }: { add: readonly string[]; remove: readonly string[] }): Promise<Group> {
      await store.changeAll((seen) => {
        known(groupsOf(seen), name)
        const leaving = new Set(resolved(seen, remove, name).map(({ id }) => id))
        const coming = new Set(resolved(seen, add, name).map(({ id }) => id))
        const both = seen.machines.find(({ id }) => leaving.has(id) && coming.has(id))
        if (both)
          throw new AppError(
            'invalid',
            `Cannot change group "${name}": machine "${both.name}" would come in and go out`,
          )
        const updates = seen.machines.flatMap((machine) => {
          if (leaving.has(machine.id) && machine.groups.includes(name)) return [outOf(name)(machine)]
          return coming.has(machine.id) && !machine.groups.includes(name) ? [into(name)(machine)] : []
        })
        const isKept = seen.groups.some((group) => group.name === name)
        return {
          updates,
          // A group that only its members named stays when the last one goes.
          newGroups: isKept ? [] : [{ name, description: '' }],
          events: updates.map((machine) => machineEvent('update', machine)),
        }
      })
      return known(await list(), name)
    },

    /** Deletes a group; its machines stay, without it. @throws {AppError} not_found */
    async remove(name: string): Promise<Group> {
      let lost: Group | undefined
      await store.changeAll((seen) => {
        lost = known(groupsOf(seen), name)
        const updates = seen.machines.filter(({ groups }) => groups.includes(name)).map(outOf(name))
        return {
          lostGroups: [name],
          updates,
          events: [event('destroy', name), ...updates.map((machine) => machineEvent('update', machine))],
        }
      })
      return lost!
    },
  }
}

function groupsOf({ machines, groups }: Roster): Group[] {
  const all = new Map<string, Group>(groups.map((group) => [group.name, { ...group, machines: [] }]))
  for (const machine of machines)
    for (const name of new Set(machine.groups)) {
      const group = all.get(name) ?? { name, description: '', machines: [] }
      group.machines.push(machine.name)
      all.set(name, group)
    }
  return [...all.values()].toSorted((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
}

function known(groups: readonly Group[], name: string): Group {
  const found = groups.find((group) => group.name === name)
  if (found) return found
  const names = groups.slice(0, 8).map((group) => group.name)
  const state = names.length === 0 ? 'there is none' : `known are ${names.join(', ')}${groups.length > 8 ? ', …' : ''}`
  throw new AppError('not_found', `Cannot find group "${name}": ${state}; make one with: bareboat group create ${name}`)
}

function resolved({ machines }: Roster, references: readonly string[], group: string): StoredMachine[] {
  return references.map((reference) => {
    const machine = machineCalled(machines, reference)
    if (!machine) throw new AppError('not_found', `Cannot change group "${group}": machine "${reference}" is not known`)
    return machine
  })
}

function into(name: string) {
  return (machine: StoredMachine): StoredMachine => ({ ...machine, groups: [...machine.groups, name] })
}

function outOf(name: string) {
  return (machine: StoredMachine): StoredMachine => ({
    ...machine,
    groups: machine.groups.filter((group) => group !== name),
  })
}

function event(action: string, name: string): NewEvent {
  return { kind: 'group', action, subjectId: name, name, source: 'daemon', attributes: {} }
}
