/**
 * Disks of machines that are overwritten by their agent: asked for once, done once, and what came of each is known or said not to be. They
 * are in memory: an agent goes on without the server, and what became of a disk whose server went away is to be looked at again.
 */
import { randomBytes } from 'node:crypto'
import type { Now } from '../../base/clock.ts'
import { AppError } from '../../base/errors.ts'
import type { Inventory } from '../../model/inventory.ts'
import type { Wipe, WipeRequest } from '../../model/machine.ts'

export interface WipeTarget {
  readonly machineId: string
  readonly machineName: string
}

/** The most that are remembered; the oldest that are over go first. */
const MAX_WIPES = 4096

export type Wipes = ReturnType<typeof createWipes>

export function createWipes(now: Now) {
  const wipes = new Map<string, Wipe>()
  const of = (machineId: string): Wipe[] => [...wipes.values()].filter((wipe) => wipe.machineId === machineId)
  const isOver = (wipe: Wipe): boolean => wipe.state === 'done' || wipe.state === 'failed'

  return {
    /**
     * Notes what is asked for, disk by disk.
     * @param inventory what the machine has just told of its disks
     * @throws {AppError} invalid, not_found, conflict: then nothing of it is done
     */
    ask({ machineId, machineName }: WipeTarget, inventory: Inventory, { disks, method, confirm }: WipeRequest): Wipe[] {
      const refuse = (code: 'invalid' | 'not_found' | 'conflict', why: string) =>
        new AppError(code, `Cannot wipe disks of "${machineName}": ${why}`)
      if (confirm !== machineName) throw refuse('invalid', `"${confirm}" was typed in confirmation, not its name`)
      if (of(machineId).some((wipe) => !isOver(wipe)))
        throw refuse('conflict', 'a disk of it is being wiped; wait for its end')
      const chosen = [...new Set(disks)].map((serial) => {
        const [disk, ...more] = inventory.disks.filter((each) => each.serial === serial)
        const known = inventory.disks.map((each) => each.serial ?? `${each.name} (no serial number)`).join(', ')
        if (!disk) throw refuse('not_found', `no disk has the serial number "${serial}"; there are ${known || 'none'}`)
        if (more.length > 0) throw refuse('conflict', `${more.length + 1} disks have the serial number "${serial}"`)
        return { serial, sizeBytes: disk.sizeBytes ?? 0 }
      })
      const asked = chosen.map(({ serial, sizeBytes }): Wipe => ({
        ...{ id: randomBytes(8).toString('hex'), machineId, serial, sizeBytes, method },
        ...{ state: 'waiting', askedAt: now() },
      }))
      for (const wipe of asked) wipes.set(wipe.id, wipe)
      for (const [id, wipe] of wipes) if (wipes.size > MAX_WIPES && isOver(wipe)) wipes.delete(id)
      return asked
    },

    /** All of a machine, the oldest first. */
    of,

    /** The one that the machine is to do now; it says how it ended before it gets the next. */
    next(machineId: string): Wipe | undefined {
      const wipe = of(machineId).find((each) => !isOver(each))
      if (wipe?.state === 'waiting') wipes.set(wipe.id, { ...wipe, state: 'running' })
      return wipe
    },

    /** @returns undefined where it is none of the machine's, or over */
    end(
      machineId: string,
      wipeId: string,
      result: { readonly verified: string | undefined } | { readonly cause: string },
    ): Wipe | undefined {
      const wipe = wipes.get(wipeId)
      if (!wipe || wipe.machineId !== machineId || isOver(wipe)) return undefined
      const ended: Wipe = {
        ...wipe,
        endedAt: now(),
        ...('cause' in result
          ? { state: 'failed', cause: result.cause }
          : { state: 'done', ...(result.verified === undefined ? {} : { verified: result.verified }) }),
      }
      wipes.set(wipeId, ended)
      return ended
    },

    /** The machine is not in the agent any more. @returns those that it was to do */
    abandon(machineId: string): Wipe[] {
      const lost = of(machineId).filter((wipe) => !isOver(wipe))
      return lost.map((wipe) => {
        const cause =
          wipe.state === 'waiting'
            ? 'the machine left the agent before it was begun'
            : 'the machine was not heard of any more; what is on the disk is not known'
        return this.end(machineId, wipe.id, { cause })!
      })
    },
  }
}
