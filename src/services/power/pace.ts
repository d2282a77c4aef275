/**
 * Power commands to one machine: a few at once, then one in a while. Relays and power supplies wear, and a script that has gone wrong
 * must not switch a machine as fast as its BMC can.
 */
import { sleep } from '../../base/clock.ts'
import { AppError } from '../../base/errors.ts'

export interface Pace {
  /** One command in this time, milliseconds. */
  readonly everyMs: number
  /** So many that come after a rest wait for nothing. */
  readonly atOnce: number
  /** So many may wait for one machine. */
  readonly maxWaiting: number
}

export type Pacer = ReturnType<typeof createPacer>

export function createPacer({ everyMs, atOnce, maxWaiting }: Pace, nowMs: () => number = () => performance.now()) {
  /** By machine: from when on it would be rested, and how many wait. */
  const machines = new Map<string, { restedAtMs: number; waiting: number }>()
  return {
    /**
     * Waits until one more command may be sent; one that gives up while it waits counts all the same.
     * @throws {AppError} busy when too many wait already; AbortError when the signal aborts first
     */
    async take({ id, name }: { readonly id: string; readonly name: string }, signal?: AbortSignal): Promise<void> {
      const machine = machines.get(id) ?? { restedAtMs: 0, waiting: 0 }
      if (machine.waiting >= maxWaiting)
        throw new AppError(
          'busy',
          `Cannot switch "${name}": ${machine.waiting} power commands wait for it already; it takes one in ${everyMs / 1000} s, more is not good for a machine`,
        )
      machines.set(id, machine)
      const before = Math.max(nowMs(), machine.restedAtMs)
      machine.restedAtMs = before + everyMs
      const waitMs = before - (atOnce - 1) * everyMs - nowMs()
      if (waitMs <= 0) return
      machine.waiting++
      try {
        await sleep(waitMs, signal)
      } finally {
        machine.waiting--
      }
    },

    /** For a machine that is removed. */
    forget(id: string): void {
      machines.delete(id)
    },
  }
}
