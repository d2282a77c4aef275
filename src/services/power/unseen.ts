/**
 * Power of machines whose BMC can only switch on (Wake-on-LAN), or that a person switches on. What becomes of them is seen on the network, and our agent
 * on them is the only way to switch them off. Silence is weak evidence: firmware is silent, and so is a cable that was pulled.
 */
import { sleep, type Now } from '../../base/clock.ts'
import { AppError } from '../../base/errors.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { SystemPort } from './ports.ts'
import type { PowerState } from './power-port.ts'

export interface UnseenPowerDeps {
  readonly system: SystemPort
  readonly now: Now
  /** How long a machine that was heard must be silent to count as off, milliseconds. */
  readonly silenceMs?: number
  /** Pause between two looks at a machine that was told to switch itself off, milliseconds. */
  readonly pollMs?: number
}

/**
 * Longer than any stage between DHCP and the initrd may take, in which a machine that boots is silent; and the time that one which
 * was woken has to be heard.
 */
const SILENCE_MS = 180_000
const POLL_MS = 1000
/** So many looks without a conclusion after the agent took the command: where nothing can be concluded, that is what there is. */
const UNKNOWN_LOOKS = 2

export function createUnseenPower({ system, now, silenceMs = SILENCE_MS, pollMs = POLL_MS }: UnseenPowerDeps) {
  /** When the machine was woken, until it was seen off. */
  const wokenAt = new Map<string, number>()
  /** Since when the machine is silent; 0 when it was seen to be off. */
  const silentSince = new Map<string, number>()

  /** Firmware is silent: a machine that was just woken may come yet. */
  const isStarting = ({ id }: StoredMachine): boolean => now() - (wokenAt.get(id) ?? 0) < silenceMs

  async function presence(machine: StoredMachine, signal?: AbortSignal): Promise<PowerState> {
    const state = await system.presence(machine, signal)
    if (state === 'on') silentSince.delete(machine.id)
    if (state === 'off' && !silentSince.has(machine.id)) silentSince.set(machine.id, now())
    return state
  }

  function wasOff({ id }: StoredMachine): void {
    wokenAt.delete(id)
    silentSince.set(id, 0)
  }

  /** Waits until a machine whose agent took the command has left the network. */
  async function untilGone(machine: StoredMachine, signal: AbortSignal): Promise<void> {
    try {
      for (let unknowns = 0; unknowns < UNKNOWN_LOOKS;) {
        await sleep(pollMs, signal)
        const state = await presence(machine, signal)
        if (state === 'off') return
        unknowns = state === 'unknown' ? unknowns + 1 : 0
      }
    } catch (cause) {
      if (!signal.aborted) throw cause
      const told = 'its system was told to switch it off, and it still answers; nothing else can'
      throw new AppError('timeout', `Cannot switch off "${machine.name}": ${told}, so switch it off by hand`, { cause })
    }
  }

  return {
    /** @param isLeaving it was told to switch itself off @throws {AppError} unreachable when the server is cut off */
    async status(machine: StoredMachine, isLeaving: boolean, signal?: AbortSignal): Promise<PowerState> {
      const state = await presence(machine, signal)
      if (state !== 'off' || isLeaving) return state
      const isLong = now() - (silentSince.get(machine.id) ?? 0) >= silenceMs
      return isLong && !isStarting(machine) ? 'off' : 'unknown'
    },

    /**
     * Switches a machine off by what runs on it, and returns when it has left the network. One that was just woken is waited for: it
     * cannot be told before it has booted.
     * @param unknownIsOff a machine that nothing can be said of counts as off
     * @throws {AppError} unsupported when it is on and no agent of ours answers, or nobody can tell; timeout
     */
    async off(machine: StoredMachine, unknownIsOff: boolean, signal: AbortSignal): Promise<void> {
      for (;;) {
        const isDue = !isStarting(machine)
        const isKnownOff = silentSince.get(machine.id) === 0
        const state = await presence(machine, signal)
        if (state === 'off' && isDue) return wasOff(machine)
        try {
          if (state !== 'off') {
            await system.powerOff(machine, signal)
            await untilGone(machine, signal)
            return wasOff(machine)
          }
        } catch (cause) {
          if (signal.aborted) throw cause
          if (state === 'unknown' && (isKnownOff || unknownIsOff)) return
          if (isDue)
            throw new AppError('unsupported', `Cannot switch off "${machine.name}": ${whyNot(state)}`, { cause })
        }
        await sleep(pollMs, signal)
      }
    },

    /** Notes that a machine was told to switch on. @param isByHand a person was, who takes any time and knows whether it was done */
    woken({ id }: StoredMachine, isByHand: boolean): void {
      if (!isByHand) wokenAt.set(id, now())
      silentSince.delete(id)
    },

    forget(machineId: string): void {
      wokenAt.delete(machineId)
      silentSince.delete(machineId)
    },
  }
}

function whyNot(state: PowerState): string {
  const by = 'nothing but what runs on it can switch it off'
  return state === 'on'
    ? `${by}, and no agent of ours answers there; shut it down by hand`
    : `${by}, and nothing tells whether it is on; see to it by hand`
}
