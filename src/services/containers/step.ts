/** What the steps of a container's life share: what they need, and how they ask and change. */
import type { Now } from '../../base/clock.ts'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Container, ContainerAction } from '../../model/container.ts'
import type { BootService } from '../boot/boot.ts'
import type { BootStore } from '../boot/ports.ts'
import type { ConsoleService } from '../console/console.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { BootMedium } from '../media/boot-medium.ts'
import type { PowerService } from '../power/power.ts'
import type { Agent } from './agent.ts'
import { dieEvent, stateEvent } from './events.ts'
import type { Live } from './live.ts'
import type { ContainerPatch, ContainerStore, LogStore } from './ports.ts'
import { prepare, type PrepareDeps, type PreparedContainer } from './prepare.ts'
import type { Watch } from './watch.ts'

export interface LifecycleDeps extends PrepareDeps {
  readonly log: Log
  readonly store: ContainerStore
  readonly boots: BootStore
  readonly boot: BootService
  readonly logs: LogStore
  readonly power: PowerService
  readonly medium: BootMedium
  readonly console: ConsoleService
  readonly agent: Agent
  readonly machineById: (machineId: string) => Promise<StoredMachine | undefined>
  readonly now: Now
  readonly patience?: Partial<Patience>
}

/** How long the loop waits for what, milliseconds. */
export interface Patience {
  /** Between two looks at the power state of a machine that should be on. */
  readonly powerCheckBootingMs: number
  readonly powerCheckRunningMs: number
  /** A machine is off when it is seen so twice, this far apart: BMCs have their moments. */
  readonly confirmOffMs: number
  /** How long the last output may take to arrive after the workload has ended. */
  readonly drainMs: number
  /** An operating system's own shutdown takes longer than a program's end. */
  readonly osGraceMs: number
  /** After KILL there is nothing left to wait for but the report. */
  readonly killMs: number
  /** How long the agent may take for a signal. */
  readonly agentMs: number
  /** Between two tries of what our own side could not do, at first and at most. */
  readonly retryMs: number
  readonly longestRetryMs: number
}

export const PATIENCE: Patience = {
  powerCheckBootingMs: 10_000,
  powerCheckRunningMs: 20_000,
  confirmOffMs: 1000,
  drainMs: 20_000,
  osGraceMs: 90_000,
  killMs: 5000,
  agentMs: 15_000,
  retryMs: 500,
  longestRetryMs: 30_000,
}

/** One turn of one container. */
export interface Turn {
  readonly live: Live
  readonly watch: Watch
  /** As it was read at the start of the turn. */
  readonly container: Container
  /** Resolves when the record has changed since it was read. */
  readonly news: Promise<void>
}

export type Tools = ReturnType<typeof createTools>

export function createTools(deps: LifecycleDeps) {
  const { store, log, power } = deps
  const patience: Patience = { ...PATIENCE, ...deps.patience }

  async function isOffNow({ live }: Turn, machine: StoredMachine, isLeaving: boolean): Promise<boolean> {
    try {
      return (await power.status(machine, live.signal, isLeaving)) === 'off'
    } catch (error) {
      live.signal.throwIfAborted()
      log.debug('power state not read', { machine: machine.name, why: explain(error) })
      return false
    }
  }

  return {
    patience,

    /** @throws {AppError} not_found */
    async machineOf(container: Container): Promise<StoredMachine> {
      const machine = container.machineId === undefined ? undefined : await deps.machineById(container.machineId)
      if (!machine)
        throw new AppError('not_found', `Cannot go on with "${container.name}": its machine is not known any more`)
      return machine
    },

    /** What the machine of a container loads, made ready once. */
    preparedOf(live: Live, container: Container): Promise<PreparedContainer> {
      const known = live.prepared
      if (known) return known
      const preparing = prepare(deps, container, live.signal)
      live.prepared = preparing
      preparing.catch(() => {
        if (live.prepared === preparing) live.prepared = undefined
      })
      return preparing
    },

    /**
     * True when the machine is off, seen twice. A BMC that does not answer says nothing.
     * @param isLeaving it was told to switch itself off
     */
    async isOff(turn: Turn, machine: StoredMachine, isLeaving = false): Promise<boolean> {
      if (!(await isOffNow(turn, machine, isLeaving))) return false
      const { live } = turn
      await live.waitFor(new Promise(() => {}), patience.confirmOffMs)
      return isOffNow(turn, machine, isLeaving)
    },

    /**
     * Changes the state.
     * @throws when the state is not one that `action` starts from: only the loop moves live containers, so that is our bug
     */
    async move(
      container: Container,
      action: ContainerAction,
      change: (seen: Container) => ContainerPatch = () => ({}),
    ): Promise<void> {
      const patch = change(container)
      const isFirstWord = container.exitCode === undefined && patch.exitCode !== undefined
      const died = isFirstWord && container.startedAt !== undefined
      const moved = await store.transition(container.id, action, change, [
        ...(died ? [dieEvent(container, patch.exitCode!, 'daemon')] : []),
        stateEvent(container, action, patch),
      ])
      if (!moved) throw new Error(`no transition "${action}" from state "${container.state}"`)
      const { id, machineName, state, cause } = moved
      log.info('container moved', { containerId: id, machine: machineName, to: state, cause })
    },
  }
}
