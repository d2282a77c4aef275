/** What a person decides of a machine: whether it is ours to use, and whether anything new may be started on it. */
import { AppError } from '../../base/errors.ts'
import type { StoredMachine } from './ports.ts'

export type Decision = 'accept' | 'reject' | 'cordon' | 'uncordon'

/**
 * The machine after a decision; undefined where it changes nothing.
 * @param name what an accepted machine is called from now on
 * @throws {AppError} conflict
 */
export function decide(machine: StoredMachine, decision: Decision, name?: string): StoredMachine | undefined {
  switch (decision) {
    case 'accept':
      return accept(machine, name)
    case 'reject':
      return reject(machine)
    case 'cordon':
    case 'uncordon': {
      const cordoned = decision === 'cordon'
      return machine.cordoned === cordoned ? undefined : { ...machine, cordoned }
    }
    default:
      return decision satisfies never
  }
}

/** Containers and people know an accepted machine by its name: only one that is new gets another. */
function accept(machine: StoredMachine, name: string | undefined): StoredMachine | undefined {
  if (machine.admission !== 'accepted')
    return { ...machine, admission: 'accepted', ...(name === undefined ? {} : { name }) }
  if (name === undefined || name === machine.name) return undefined
  throw new AppError('conflict', `Cannot accept machine "${machine.name}" as "${name}": it is accepted under its name`)
}

function reject(machine: StoredMachine): StoredMachine | undefined {
  if (machine.containerId !== undefined)
    throw new AppError(
      'conflict',
      `Cannot reject machine "${machine.name}": it runs container ${machine.containerId.slice(0, 12)}; stop it first, or cordon the machine`,
    )
  return machine.admission === 'rejected' ? undefined : { ...machine, admission: 'rejected' }
}

/** Why nothing new may be started on a machine, as the end of a sentence; undefined where it may. */
export function closedBecause(machine: StoredMachine): string | undefined {
  if (!machine.enabled) return 'is disabled'
  if (machine.admission === 'discovered') return 'is not accepted yet'
  if (machine.admission === 'rejected') return 'is rejected'
  return machine.cordoned ? 'is cordoned' : undefined
}
