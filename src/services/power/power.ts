/**
 * Power of machines. An action is an intent: written before it is sent, ended when the BMC has shown its effect or it failed.
 * The drivers read the state before they send and after; here is who may ask, in which order, and what is remembered.
 *
 * An intent that a daemon left behind may still take effect: a BMC needs seconds for a command that it took. Until it shows, or
 * has had the time to, nothing else is sent to that machine: a second "on" would be a duplicate, and an "off" that finds the
 * machine off would be overtaken by the "on" before it.
 */
import { sleep, type Now } from '../../base/clock.ts'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { EventBus } from '../ports.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { Pacer } from './pace.ts'
import type { BmcFinding } from '../../model/bmc.ts'
import type { BmcHardware, BmcPort, BmcTap, BootOverride, PowerAction, PowerState } from './power-port.ts'
import type { IntentStore, PowerIntent, PowerRecording, SystemPort } from './ports.ts'
import type { Stagger } from './stagger.ts'
import { createUnseenPower } from './unseen.ts'

export interface PowerDeps {
  readonly log: Log
  readonly intents: IntentStore
  readonly events: EventBus
  /** @throws {AppError} invalid when the machine's BMC address cannot be used */
  readonly openBmc: (machine: StoredMachine, password: string | undefined, tap?: BmcTap) => BmcPort
  readonly passwordOf: (machineId: string) => Promise<string | undefined>
  readonly system: SystemPort
  readonly now: Now
  /** Undefined: nothing is recorded. */
  readonly recording?: PowerRecording
  /** Undefined: commands are sent as they come. */
  readonly pacer?: Pacer
  /** Undefined: machines of one cabinet are switched on at once. */
  readonly stagger?: Stagger
  /** How long a BMC may take to show the effect of a command that it took, milliseconds. */
  readonly settleMs?: number
  /** How long a BMC may take to say its state, milliseconds; default 15 s. */
  readonly statusDeadlineMs?: number
  /** See unseen.ts. */
  readonly unseen?: { readonly silenceMs?: number; readonly pollMs?: number }
}

export interface PowerOptions {
  readonly containerId?: string
  readonly signal?: AbortSignal
  readonly unknownIsOff?: boolean
}

export type PowerService = ReturnType<typeof createPower>

/** How long one action may take before its outcome is called unknown, milliseconds. */
const ACTION_DEADLINE_MS = 60_000
/** How long a machine may take whose operating system has to shut down first, milliseconds. */
const SYSTEM_OFF_DEADLINE_MS = 300_000
const STATUS_DEADLINE_MS = 15_000
const SETTLE_MS = 15_000
const SETTLE_POLL_MS = 500

export function createPower(deps: PowerDeps) {
  const { log, intents, events, openBmc, passwordOf, now, recording, pacer, stagger } = deps
  const { settleMs = SETTLE_MS, statusDeadlineMs = STATUS_DEADLINE_MS } = deps
  const unseen = createUnseenPower({ ...deps.unseen, system: deps.system, now })
  const ports = new Map<string, { readonly key: string; readonly port: BmcPort }>()
  /** The last intent of an earlier daemon whose outcome nobody has seen, by machine. */
  const unsettled = new Map<string, PowerIntent>()
  /** Who is shown what passes, by machine. */
  const taps = new Map<string, BmcTap>()

  /** The open driver of a machine, opened anew when its address or password has changed. */
  async function portOf(machine: StoredMachine): Promise<BmcPort> {
    if (machine.bmc === undefined)
      throw new AppError(
        'invalid',
        `Cannot reach the BMC of "${machine.name}": none is known; set it with: bareboat machine set ${machine.name} --bmc ipmi://USER@HOST`,
      )
    const password = await passwordOf(machine.id)
    const tap = taps.get(machine.id)
    const key = `${machine.bmc}\0${password ?? ''}\0${machine.macs.join()}\0${tap ? 'tapped' : ''}`
    // From here to `ports.set` nothing waits: two drivers of one BMC would not know of each other.
    const known = ports.get(machine.id)
    if (known?.key === key) return known.port
    const port = openBmc(machine, password, tap)
    ports.set(machine.id, { key, port })
    await known?.port[Symbol.asyncDispose]()
    return port
  }

  /** Waits until what an earlier daemon sent shows, or has had the time to. */
  async function settle(machine: StoredMachine, port: BmcPort, signal: AbortSignal): Promise<void> {
    const intent = unsettled.get(machine.id)
    if (!intent) return
    const target: PowerState = intent.action === 'on' || intent.action === 'cycle' ? 'on' : 'off'
    for (;;) {
      const state = await port.status(signal).catch(() => 'unknown' as const)
      signal.throwIfAborted()
      const isSeen = state === target
      if (isSeen || now() - intent.createdAt >= settleMs) {
        await intents.end(
          intent.intentId,
          isSeen ? { state: 'done' } : { state: 'failed', cause: 'the daemon ended before the outcome was seen' },
        )
        unsettled.delete(machine.id)
        return
      }
      await sleep(Math.min(SETTLE_POLL_MS, Math.max(1, settleMs / 10)), signal)
    }
  }

  return {
    portOf,

    /**
     * The state that the BMC reports now, or where it reports none, what the network shows.
     * @param isLeaving the machine was told to switch itself off, so that its silence means that it has
     * @throws {AppError} unreachable, unauthorized, timeout, invalid
     */
    async status(machine: StoredMachine, signal?: AbortSignal, isLeaving = false): Promise<PowerState> {
      const port = await portOf(machine)
      return bounded(`Cannot read the power state of "${machine.name}"`, statusDeadlineMs, signal, (by) =>
        isSeen(port) ? port.status(by) : unseen.status(machine, isLeaving, by),
      )
    },

    /**
     * Brings a machine into a state and returns when that was observed; what wakes a machine is sent, and seen by its boot.
     * @param options.unknownIsOff a machine of which nothing can be seen, and that no BMC can switch off, counts as off
     * @throws {AppError} timeout when it was not observed in time; unreachable, unauthorized, unsupported; busy when too many commands wait
     */
    async set(
      machine: StoredMachine,
      action: PowerAction,
      { containerId, signal, unknownIsOff = false }: PowerOptions = {},
    ): Promise<void> {
      const port = await portOf(machine)
      const isBySystem = action === 'off' && !isSeen(port)
      if (action === 'on' && containerId === undefined && port.can.has('by-hand'))
        throw new AppError('unsupported', `Cannot switch on "${machine.name}": it has no BMC; switch it on by hand`)
      if (action !== 'on' && action !== 'off' && !port.can.has(action))
        throw new AppError(
          'unsupported',
          `Cannot ${action} "${machine.name}": its BMC can only ${[...port.can].join(', ')}`,
        )
      const isOn = action === 'on' || action === 'cycle'
      await pacer?.take(machine, signal)
      if (isOn) await stagger?.wait(machine.xname, signal)
      const deadline = within(isBySystem ? SYSTEM_OFF_DEADLINE_MS : ACTION_DEADLINE_MS, signal)
      await settle(machine, port, deadline)
      const intent = await intents.begin({ machineId: machine.id, action, ...(containerId ? { containerId } : {}) })
      if (isOn) await recording?.begin(machine)
      try {
        if (isBySystem) await unseen.off(machine, unknownIsOff, deadline)
        else await port.set(action, deadline)
        if (action === 'on' && !isSeen(port)) unseen.woken(machine, port.can.has('by-hand'))
      } catch (cause) {
        // Whoever asked has gone; the next daemon looks what became of it.
        if (signal?.aborted) throw signal.reason
        await intents.end(intent.intentId, { state: 'failed', cause: explain(cause) })
        throw new AppError(
          cause instanceof AppError ? cause.code : 'timeout',
          `Cannot switch ${action === 'soft-off' ? 'off' : action} "${machine.name}"`,
          { cause },
        )
      }
      await intents.end(intent.intentId, { state: 'done' })
      if (!isOn) recording?.end(machine.id)
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

    /** How it is known that a machine is on after `set`: seen, only sent, or in the hands of a person. */
    async onBy(machine: StoredMachine): Promise<'seen' | 'sent' | 'hand'> {
      const port = await portOf(machine)
      if (port.can.has('by-hand')) return 'hand'
      return isSeen(port) ? 'seen' : 'sent'
    },

    /** What the machine's BMC knows. @throws {AppError} unsupported when its driver offers nothing of the kind */
    async hardware(machine: StoredMachine): Promise<BmcHardware> {
      const { hardware, can } = await portOf(machine)
      if (hardware) return hardware
      throw new AppError(
        'unsupported',
        `Cannot ask the BMC of "${machine.name}" what it knows: it can only ${[...can].join(', ')}`,
      )
    },

    /** What is insecure about the machine's BMC, the worst first. @throws {AppError} unsupported when its driver cannot tell */
    async check(machine: StoredMachine, signal?: AbortSignal): Promise<BmcFinding[]> {
      const port = await portOf(machine)
      if (port.check) return port.check(signal)
      throw new AppError(
        'unsupported',
        `Cannot ask the BMC of "${machine.name}" what is insecure about it: IPMI and AMT can; of Redfish, bareboat discover crawl tells`,
      )
    },

    /**
     * Shows `tap` what passes between us and the machine's BMC while `work` lasts, from the login on. Others may use the BMC meanwhile.
     * @throws {AppError} conflict when somebody is shown it already
     */
    async tapped<T>(machine: StoredMachine, tap: BmcTap, work: () => Promise<T>): Promise<T> {
      if (taps.has(machine.id))
        throw new AppError('conflict', `Cannot record the BMC of "${machine.name}": it is being recorded already`)
      taps.set(machine.id, tap)
      try {
        // Opened anew, so that the login is seen.
        await portOf(machine)
        return await work()
      } finally {
        taps.delete(machine.id)
        const known = ports.get(machine.id)
        ports.delete(machine.id)
        await known?.port[Symbol.asyncDispose]()
      }
    },

    /** Says what the machine boots from next. A BMC that cannot is left to the machine's own boot order. */
    async setBoot(machine: StoredMachine, override: BootOverride, signal?: AbortSignal): Promise<void> {
      const port = await portOf(machine)
      if (!port.can.has('boot-override')) return
      const doing = `Cannot set the boot device of "${machine.name}"`
      await bounded(doing, ACTION_DEADLINE_MS, signal, (by) => port.setBoot(override, by))
    },

    /** Takes up what an earlier daemon left behind: of each machine the last intent counts, those before it are over. */
    async recover(): Promise<void> {
      for (const intent of await intents.unfinished()) {
        const earlier = unsettled.get(intent.machineId)
        if (earlier) await intents.end(earlier.intentId, { state: 'failed', cause: 'another action followed it' })
        unsettled.set(intent.machineId, intent)
        log.warn('outcome of a power action is not known yet', { machineId: intent.machineId, action: intent.action })
      }
    },

    /** Closes the driver of a machine that is removed. */
    async forget(machineId: string): Promise<void> {
      const known = ports.get(machineId)
      ports.delete(machineId)
      unseen.forget(machineId)
      pacer?.forget(machineId)
      unsettled.delete(machineId)
      await known?.port[Symbol.asyncDispose]()
    },

    async [Symbol.asyncDispose](): Promise<void> {
      await Promise.allSettled([...ports.values()].map(({ port }) => port[Symbol.asyncDispose]()))
      ports.clear()
    },
  }
}

/** Whether the BMC can say the state, so that what was asked of it can be read back. */
function isSeen(port: BmcPort): boolean {
  return port.can.has('power')
}

/** @throws {AppError} `timeout` when the deadline passed and not the caller's signal, which says why by itself */
async function bounded<T>(
  doing: string,
  deadlineMs: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const deadline = AbortSignal.timeout(deadlineMs)
  try {
    return await work(signal ? AbortSignal.any([signal, deadline]) : deadline)
  } catch (cause) {
    if (cause instanceof AppError || !deadline.aborted || signal?.aborted) throw cause
    const seconds = Math.round(deadlineMs / 100) / 10
    throw new AppError('timeout', `${doing}: its BMC did not answer within ${seconds} s`, { cause })
  }
}

function within(deadlineMs: number, signal?: AbortSignal): AbortSignal {
  const deadline = AbortSignal.timeout(deadlineMs)
  return signal ? AbortSignal.any([signal, deadline]) : deadline
}
