/** Which consoles are recorded without a container on their machine: the key `consoleRecord`. */
import { explain } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { ConsoleService } from '../services/console/console.ts'
import type { StoredMachine } from '../services/machines/ports.ts'
import type { PowerRecording } from '../services/power/ports.ts'

/**
 * `powered`: a machine that was switched on through Bareboat, until it is switched off through it. `always`: every machine with a
 * BMC. `containers`: none but those of containers.
 */
export const CONSOLE_RECORD = ['powered', 'always', 'containers'] as const
export type ConsoleRecord = (typeof CONSOLE_RECORD)[number]

export interface ConsoleRecordingDeps {
  readonly mode: ConsoleRecord
  readonly log: Log
  readonly console: () => Pick<ConsoleService, 'keep' | 'release'>
  readonly machines: () => Promise<readonly StoredMachine[]>
  readonly machineById: (machineId: string) => Promise<StoredMachine | undefined>
  /** Ids of machines that were switched on last. */
  readonly switchedOn: () => Promise<readonly string[]>
}

export function createConsoleRecording(deps: ConsoleRecordingDeps) {
  const { mode, log, console, machines, machineById, switchedOn } = deps

  async function begin(machine: StoredMachine): Promise<void> {
    if (machine.bmc === undefined) return
    await console()
      .keep(machine)
      .catch((error: unknown) => log.warn('console not recorded', { machine: machine.name, why: explain(error) }))
  }

  const power: PowerRecording | undefined =
    mode === 'containers'
      ? undefined
      : {
          begin,
          end(machineId) {
            if (mode === 'powered') console().release(machineId)
          },
        }

  return {
    power,

    /** Goes on where an earlier daemon has ended. */
    async resume(): Promise<void> {
      if (mode === 'containers') return
      const known = await machines()
      const wanted = mode === 'always' ? undefined : new Set(await switchedOn())
      for (const machine of known) if (!wanted || wanted.has(machine.id)) await begin(machine)
    },

    /** A machine was added, or has changed: it may have a BMC now. */
    async changed(machineId: string): Promise<void> {
      const machine = mode === 'always' ? await machineById(machineId) : undefined
      if (machine) await begin(machine)
    },
  }
}
