/**
 * Power of machines. An action is an intent: written before it is sent, ended when the BMC has shown its effect or it failed.
 * The drivers read the state before they send and after; here is who may ask, in which order, and what is remembered.
 */
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { EventBus } from '../ports.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { BmcPort, BootOverride, PowerAction, PowerState } from './power-port.ts'
import type { IntentStore } from './ports.ts'

export interface PowerDeps {
  readonly log: Log
  readonly intents: IntentStore
  readonly events: EventBus
  /** @throws {AppError} invalid when the machine's BMC address cannot be used */
  readonly openBmc: (machine: StoredMachine, password: string | undefined) => BmcPort
  readonly passwordOf: (machineId: string) => Promise<string | undefined>
}

export type PowerService = ReturnType<typeof createPower>

/** How long one action may take before its outcome is called unknown, milliseconds. */
const ACTION_DEADLINE_MS = 60_000
const STATUS_DEADLINE_MS = 15_000

export function createPower({ log, intents, events, openBmc, passwordOf }: PowerDeps) {
  const ports = new Map<string, { readonly key: string; readonly port: BmcPort }>()

  /** The open driver of a machine, opened anew when its address or password has changed. */
  async function portOf(machine: StoredMachine): Promise<BmcPort> {
    if (machine.bmc === undefined)
      throw new AppError(
        'invalid',
        `Cannot reach the BMC of "${machine.name}": none is known; set it with: bareboat machine set ${machine.name} --bmc ipmi://USER@HOST`,
      )
    const password = await passwordOf(machine.id)
    const key = `${machine.bmc}\0${password ?? ''}`
    const known = ports.get(machine.id)
    if (known?.key === key) return known.port
    await known?.port[Symbol.asyncDispose]()
    const port = openBmc(machine, password)
    ports.set(machine.id, { key, port })
    return port
  }

  return {
    portOf,

    /** The state that the BMC reports now. @throws {AppError} unreachable, unauthorized, timeout, invalid */
    async status(machine: StoredMachine, signal?: AbortSignal): Promise<PowerState> {
      const port = await portOf(machine)
      return port.status(within(STATUS_DEADLINE_MS, signal))
    },

    /**
     * Brings a machine into a state and returns when that was observed.
     * @throws {AppError} timeout when it was not observed in time; unreachable, unauthorized, unsupported
     */
    async set(
      machine: StoredMachine,
      action: PowerAction,
      { containerId, signal }: { containerId?: string; signal?: AbortSignal } = {},
    ): Promise<void> {
      const port = await portOf(machine)
      if (action !== 'on' && action !== 'off' && !port.can.has(action))
        throw new AppError(
          'unsupported',
          `Cannot ${action} "${machine.name}": its BMC can only ${[...port.can].join(', ')}`,
        )
      const intent = await intents.begin({ machineId: machine.id, action, ...(containerId ? { containerId } : {}) })
      await intents.markSent(intent.intentId)
      try {
        await port.set(action, within(ACTION_DEADLINE_MS, signal))
      } catch (cause) {
        await intents.end(intent.intentId, { state: 'failed', cause: explain(cause) })
        throw new AppError(
          cause instanceof AppError ? cause.code : 'timeout',
          `Cannot switch ${action === 'soft-off' ? 'off' : action} "${machine.name}"`,
          { cause },
        )
      }
      await intents.end(intent.intentId, { state: 'done' })
      log.info('power changed', { machine: machine.name, action })
      await events.publish({
        kind: 'machine',
        action: `power-${action}`,
        subjectId: machine.id,
        name: machine.name,
        source: 'bmc',
        attributes: { bmc: port.address },
      })
    },

    /** Says what the machine boots from next. A BMC that cannot is left to the machine's own boot order. */
    async setBoot(machine: StoredMachine, override: BootOverride, signal?: AbortSignal): Promise<void> {
      const port = await portOf(machine)
      if (port.can.has('boot-override')) await port.setBoot(override, within(ACTION_DEADLINE_MS, signal))
    },

    /**
     * Ends intents that a daemon left behind when it died. What became of them is read from the machine by whoever resumes
     * the container; an intent is never sent again from here.
     */
    async recover(): Promise<void> {
      for (const intent of await intents.unfinished()) {
        await intents.end(intent.intentId, { state: 'failed', cause: 'the daemon ended before the outcome was seen' })
        log.warn('power intent of an earlier daemon ended', { machineId: intent.machineId, action: intent.action })
      }
    },

    async [Symbol.asyncDispose](): Promise<void> {
      await Promise.allSettled([...ports.values()].map(({ port }) => port[Symbol.asyncDispose]()))
      ports.clear()
    },
  }
}

function within(deadlineMs: number, signal?: AbortSignal): AbortSignal {
  const deadline = AbortSignal.timeout(deadlineMs)
  return signal ? AbortSignal.any([signal, deadline]) : deadline
}
