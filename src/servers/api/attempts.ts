/** Failed credentials by address: after a few in a minute, no more are looked at for a while. */
import type { Now } from '../../base/clock.ts'

/** How many wrong tokens an address may send in a window. */
const MAX_FAILURES = 5
const WINDOW_MS = 60_000
/** So many addresses are remembered; the oldest are forgotten first. */
const MAX_ADDRESSES = 10_000

export function createAttempts(now: Now) {
  const failures = new Map<string, { count: number; untilMs: number }>()
  return {
    /** @returns how long the address has to wait, seconds; 0 when it may try */
    waitSeconds(address: string): number {
      const seen = failures.get(address)
      if (!seen || seen.count < MAX_FAILURES || now() >= seen.untilMs) return 0
      return Math.ceil((seen.untilMs - now()) / 1000)
    },

    failed(address: string): void {
      const seen = failures.get(address)
      const isOver = !seen || now() >= seen.untilMs
      failures.delete(address)
      failures.set(address, isOver ? { count: 1, untilMs: now() + WINDOW_MS } : { ...seen, count: seen.count + 1 })
      if (failures.size > MAX_ADDRESSES) failures.delete(failures.keys().next().value!)
    },

    succeeded(address: string): void {
      failures.delete(address)
    },
  }
}
