/** Power writes that are done when they are seen: read, write once, read until it shows. For any driver that can read and write. */
import { sleep } from '../../base/clock.ts'
import { AppError } from '../../base/errors.ts'
import type { PowerAction, PowerState } from '../../services/power/power-port.ts'

export interface PowerWire {
  /** For messages. */
  readonly address: string
  read(signal?: AbortSignal): Promise<PowerState>
  /** `lost` when the answer did not come: it may have been done. Throws AppError when it certainly was not. */
  write(action: 'on' | 'off' | 'soft-off', signal?: AbortSignal): Promise<'taken' | 'lost'>
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
}

export const POWER_PATIENCE: PowerPatience = {
  deadlineMs: 60_000,
  softOffDeadlineMs: 300_000,
  pollMs: 500,
  offMs: 2000,
  resendMs: 15_000,
}

/**
 * Brings the machine to the state that `action` ends in; nothing is sent when it is there already.
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
  const now = await wire.read(signal)
  if (action === 'cycle') {
    if (now !== 'off') {
      await reach(wire, 'off', 'off', patience.deadlineMs, patience, signal)
      await sleep(patience.offMs, signal)
    }
    return reach(wire, 'on', 'on', patience.deadlineMs, patience, signal)
  }
  const target = action === 'on' ? 'on' : 'off'
  if (now === target) return
  const deadlineMs = action === 'soft-off' ? patience.softOffDeadlineMs : patience.deadlineMs
  await reach(wire, action, target, deadlineMs, patience, signal)
}

async function reach(
  wire: PowerWire,
  action: 'on' | 'off' | 'soft-off',
  target: PowerState,
  deadlineMs: number,
  { pollMs, resendMs }: PowerPatience,
  signal?: AbortSignal,
): Promise<void> {
  const startMs = performance.now()
  let outcome = await wire.write(action, signal)
  let mayResend = outcome === 'lost'
  let last: { state: PowerState } | { error: AppError } | undefined
  for (
    let pauseMs = Math.min(50, pollMs);
    performance.now() - startMs < deadlineMs;
    pauseMs = Math.min(pauseMs * 2, pollMs)
  ) {
    last = await tryRead(wire, signal)
    if ('state' in last && last.state === target) return
    if (mayResend && 'state' in last && performance.now() - startMs >= resendMs) {
      mayResend = false
      outcome = await wire.write(action, signal)
    }
    await sleep(pauseMs, signal)
  }
  const cannot = `Cannot bring the machine of BMC "${wire.address}" to "${target}"`
  const took =
    outcome === 'taken' ? `the BMC took the command "${action}"` : `the BMC did not answer the command "${action}"`
  const seen = last && 'state' in last ? `it still says "${last.state}"` : 'its state cannot be read'
  const cause = last && 'error' in last ? { cause: last.error } : {}
  throw new AppError('timeout', `${cannot}: ${took} and after ${Math.round(deadlineMs / 1000)} s ${seen}`, cause)
}

/** BMCs are often deaf for some seconds while power changes; that is no reason to give up before the deadline. */
async function tryRead(wire: PowerWire, signal?: AbortSignal): Promise<{ state: PowerState } | { error: AppError }> {
  try {
    return { state: await wire.read(signal) }
  } catch (error) {
    if (error instanceof AppError && (error.code === 'unreachable' || error.code === 'timeout')) return { error }
    throw error
  }
}
