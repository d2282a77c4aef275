/** Reads what a BMC gives in pieces: records under a reservation that it may take back, and bytes in portions that it may find too large. */
import { sleep } from '../../../base/clock.ts'
import { WireError } from '../../../base/errors.ts'
import type { Command } from '../../../wire/ipmi/command.ts'
import { COMPLETION } from '../../../wire/ipmi/completion.ts'
import { CompletionError } from './session.ts'

/** Asks one command, after those that wait for this BMC already. @throws what Commander.request throws */
export type Ask = <Q, A>(command: Command<Q, A>, question: Q, signal?: AbortSignal) => Promise<A>

/** What a portion begins with, and how small it may become, bytes. */
const FIRST_PORTION = 64
const LEAST_PORTION = 8
/** Codes that say "too many bytes at once", in the words of different makers. */
const TOO_LARGE: ReadonlySet<number> = new Set([
  COMPLETION.tooManyBytes,
  COMPLETION.requestLength,
  COMPLETION.fieldLength,
  COMPLETION.unspecified,
])
const MAX_RESTARTS = 5
const BUSY_PAUSES_MS = [100, 200, 400, 800]

/** How many bytes this BMC gives at once: learned, and kept for what is read next. */
export class Portion {
  #bytes = FIRST_PORTION

  get bytes(): number {
    return this.#bytes
  }

  /** True when it could be made smaller: ask again. */
  shrinks(error: unknown): boolean {
    if (!(error instanceof CompletionError) || !TOO_LARGE.has(error.completion)) return false
    if (this.#bytes <= LEAST_PORTION) return false
    this.#bytes = Math.max(LEAST_PORTION, this.#bytes >> 1)
    return true
  }
}

/**
 * Reads `from` to `to`, a portion at a time.
 * @throws {WireError} when the BMC gives nothing, or more than was asked for
 */
export async function readPortions(
  portion: Portion,
  what: string,
  { from, to }: { from: number; to: number },
  read: (offset: number, count: number) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const whole = new Uint8Array(to - from)
  for (let at = from; at < to;) {
    const count = Math.min(portion.bytes, to - at)
    let bytes: Uint8Array
    try {
      bytes = await read(at, count)
    } catch (error) {
      if (!portion.shrinks(error)) throw error
      continue
    }
    if (bytes.length === 0 || bytes.length > count)
      throw new WireError(what, `${bytes.length} bytes at offset ${at}, asked for ${count}`)
    whole.set(bytes, at - from)
    at += bytes.length
  }
  return whole
}

/** Runs `work` again from its start when the BMC took the reservation back: somebody else changed what is being read. */
export async function underReservation<T>(work: () => Promise<T>): Promise<T> {
  for (let restarts = 0; ; restarts++)
    try {
      return await work()
    } catch (error) {
      const isLost = error instanceof CompletionError && error.completion === COMPLETION.reservationLost
      if (!isLost || restarts >= MAX_RESTARTS) throw error
    }
}

/** Asks again where a storage device is in the middle of something (81h). */
export async function unlessBusy<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (const pauseMs of BUSY_PAUSES_MS)
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof CompletionError) || error.completion !== COMPLETION.storageBusy) throw error
      await sleep(pauseMs, signal)
    }
  return work()
}
