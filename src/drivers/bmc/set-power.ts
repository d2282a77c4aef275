/** Power writes that are done when they are seen: read, write once, read until it shows. For any driver that can read and write. */
import { sleep } from '../../base/clock.ts'
import { AppError } from '../../base/errors.ts'
import type { PowerAction, PowerState } from '../../services/power/power-port.ts'

/** What a BMC shows. A machine that is on its way is neither on nor off yet. */
export type PowerReading = PowerState | 'turning-on' | 'turning-off'

/**
 * What became of a command: `lost` when the answer did not come and it may have been done; `declined` when it was not done and may be
 * at another time (busy, in POST, another session writes).
 */
export type PowerWritten = 'taken' | 'lost' | { readonly declined: AppError }

export interface PowerWire {
  /** For messages. */
  readonly address: string
  read(signal?: AbortSignal): Promise<PowerReading>
  /**
   * @param way which of the ways to do it, from 0
   * @throws {AppError} when it was not done and never will be; `unsupported` where only this way is not there
   */
  write(action: 'on' | 'off' | 'soft-off', signal: AbortSignal | undefined, way: number): Promise<PowerWritten>
  /**
   * How many ways there are; the next one is tried when a command was taken and nothing happened, or is not offered. Default 1.
   * @param inCycle the machine shall come on again: one more way to be off
   */
  ways?(action: 'on' | 'off' | 'soft-off', inCycle: boolean): number
  /** How long a state has to be shown until it is believed, milliseconds. Default 0. */
  holdMs?(): number
}

export interface PowerPatience {
  /** How long an on or off may take to show, milliseconds. */
  readonly deadlineMs: number
  /** How long an operating system may take to shut down, milliseconds. */
  readonly softOffDeadlineMs: number
  /** Pause between two readings, milliseconds. */
  readonly pollMs: number
  /** How long a machine stays off in a cycle, milliseconds. */
  readonly offMs: number
  /** After a lost answer the command is sent once more if nothing has changed by then, milliseconds. */
  readonly resendMs: number
  /** A command that was declined is sent again after this, milliseconds; then after twice as long, up to 8 s. */
  readonly declinedMs: number
  /** A command that was taken and shows nothing after this gives way to the next way, milliseconds. */
  readonly nextWayMs: number
}

export const POWER_PATIENCE: PowerPatience = {
  deadlineMs: 60_000,
  softOffDeadlineMs: 300_000,
  pollMs: 500,
  offMs: 2000,
  resendMs: 15_000,
  declinedMs: 500,
  nextWayMs: 20_000,
}

const MAX_DECLINED_MS = 8000

/** A reading in the words of the power port. */
export function shownState(reading: PowerReading): PowerState {
  return isTurning(reading) ? 'unknown' : reading
}

/**
 * Brings the machine to the state that `action` ends in; nothing is sent when it is there already, and none while it is on its way.
 *
 * A cycle is off, seen, and on: both halves can be read back, so that a lost answer never makes two cycles of one, which the BMC's
 * own "power cycle" cannot promise (its effect cannot be seen once it is over).
 * @throws {AppError} `timeout`
 */
export async function setPower(
  wire: PowerWire,
  action: PowerAction,
  patience: PowerPatience,
  signal?: AbortSignal,
): Promise<void> {
  const now = await settled(wire, patience, signal)
  if (action === 'cycle') {
    if (now !== 'off') {
      const way = await reach(wire, 'off', 'off', patience.deadlineMs, patience, signal, true)
      await sleep(patience.offMs, signal)
      // A cycle of the BMC's own ends by itself.
      const after = way > 0 ? await tryRead(wire, signal) : undefined
      if (after && 'state' in after && after.state === 'on') return
    }
    await reach(wire, 'on', 'on', patience.deadlineMs, patience, signal)
    return
  }
  const target = action === 'on' ? 'on' : 'off'
  if (now === target) return
  const deadlineMs = action === 'soft-off' ? patience.softOffDeadlineMs : patience.deadlineMs
  await reach(wire, action, target, deadlineMs, patience, signal)
}

/** The state once the machine is on its way no more, or what it is after the deadline. */
async function settled(wire: PowerWire, patience: PowerPatience, signal?: AbortSignal): Promise<PowerReading> {
  const endMs = performance.now() + patience.deadlineMs
  let now = await wire.read(signal)
  while (isTurning(now) && performance.now() < endMs) {
    await sleep(patience.pollMs, signal)
    const next = await tryRead(wire, signal)
    if ('state' in next) now = next.state
  }
  return now
}

/** @returns the way by which it was done */
async function reach(
  wire: PowerWire,
  action: 'on' | 'off' | 'soft-off',
  target: PowerState,
  deadlineMs: number,
  patience: PowerPatience,
  signal?: AbortSignal,
  inCycle = false,
): Promise<number> {
  const { pollMs } = patience
  const startMs = performance.now()
  let way = 0
  let outcome: PowerWritten | undefined = await write()
  if (outcome === undefined) return way
  let sentMs = startMs
  let wasResent = false
  let shownMs: number | undefined
  let { declinedMs } = patience
  let last: Reading | undefined
  for (
    let pauseMs = Math.min(50, pollMs);
    performance.now() - startMs < deadlineMs;
    pauseMs = Math.min(pauseMs * 2, pollMs)
  ) {
    last = await tryRead(wire, signal)
    const isShown = 'state' in last && last.state === target
    if (isShown) {
      const nowMs = performance.now()
      shownMs ??= nowMs
      if (nowMs - shownMs >= (wire.holdMs?.() ?? 0)) return way
    } else if ('state' in last) shownMs = undefined
    const isIdle = 'state' in last && !isShown && !isTurning(last.state)
    const again = isIdle ? nextWay(performance.now() - sentMs) : undefined
    if (again !== undefined) {
      wasResent ||= outcome === 'lost'
      if (typeof outcome === 'object') declinedMs = Math.min(declinedMs * 2, Math.max(MAX_DECLINED_MS, declinedMs))
      way = again
      sentMs = performance.now()
      outcome = await write()
      if (outcome === undefined) return way
    }
    await sleep(pauseMs, signal)
  }
  const cannot = `Cannot bring the machine of BMC "${wire.address}" to "${target}"`
  const seen = last && 'state' in last ? says(last.state) : 'its state cannot be read'
  const cause = typeof outcome === 'object' ? outcome.declined : last && 'error' in last ? last.error : undefined
  throw new AppError(
    'timeout',
    `${cannot}: ${told(outcome, action)} and after ${Math.round(deadlineMs / 1000)} s ${seen}`,
    cause && { cause },
  )

  function says(state: PowerReading): string {
    return state === target ? `it has not said "${state}" for long` : `it still says "${state}"`
  }

  /** By `way`, or the first after it that is offered. Undefined when it was refused and the machine is where it should be all the same. */
  async function write(): Promise<PowerWritten | undefined> {
    try {
      return await wire.write(action, signal, way)
    } catch (error) {
      if (!(error instanceof AppError)) throw error
      if (error.code === 'unsupported' && hasNext()) {
        way++
        return write()
      }
      const seen = await tryRead(wire, signal).catch(() => undefined)
      if (seen && 'state' in seen && seen.state === target) return undefined
      throw error
    }
  }

  /** The way to send the command again by, when it is time to. */
  function nextWay(sinceMs: number): number | undefined {
    if (typeof outcome === 'object') return sinceMs >= declinedMs ? way : undefined
    if (outcome === 'lost' && !wasResent) return sinceMs >= patience.resendMs ? way : undefined
    return hasNext() && sinceMs >= patience.nextWayMs ? way + 1 : undefined
  }

  function hasNext(): boolean {
    return way + 1 < (wire.ways?.(action, inCycle) ?? 1)
  }
}

function told(outcome: PowerWritten | undefined, action: string): string {
  if (typeof outcome === 'object') return `the BMC declined the command "${action}" each time`
  return outcome === 'lost' ? `the BMC did not answer the command "${action}"` : `the BMC took the command "${action}"`
}

function isTurning(reading: PowerReading): reading is 'turning-on' | 'turning-off' {
  return reading === 'turning-on' || reading === 'turning-off'
}

type Reading = { readonly state: PowerReading } | { readonly error: AppError }

const DEAF: ReadonlySet<string> = new Set(['unreachable', 'timeout', 'exhausted', 'conflict'])

/** BMCs are often deaf, or cannot say, for some seconds while power changes; that is no reason to give up before the deadline. */
async function tryRead(wire: PowerWire, signal?: AbortSignal): Promise<Reading> {
  try {
    return { state: await wire.read(signal) }
  } catch (error) {
    if (error instanceof AppError && DEAF.has(error.code)) return { error }
    throw error
  }
}
