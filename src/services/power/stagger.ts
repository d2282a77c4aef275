/**
 * Machines of one cabinet are switched on one after the other. A power supply draws several times its share in the first tenth of a
 * second; of forty at once the breaker of their cabinet opens, and all of it is dark.
 */
import { sleep } from '../../base/clock.ts'

/** Between two of a cabinet, milliseconds: 40 machines take 10 s. */
const SPACING_MS = 250
/** The cabinet at the begin of an xname (base/xname.ts). */
const CABINET = /^x\d+(?=c)/

export interface StaggerOptions {
  readonly spacingMs?: number
  readonly nowMs?: () => number
  readonly pause?: (ms: number, signal?: AbortSignal) => Promise<void>
}

export type Stagger = ReturnType<typeof createStagger>

export function createStagger({
  spacingMs = SPACING_MS,
  nowMs = () => performance.now(),
  pause = sleep,
}: StaggerOptions = {}) {
  const nextMs = new Map<string, number>()
  return {
    /**
     * Waits for the turn of a machine. Where one stands that has no xname is not known, and it waits for nobody.
     * @throws AbortError when the signal aborts first
     */
    async wait(xname: string | undefined, signal?: AbortSignal): Promise<void> {
      const cabinet = CABINET.exec(xname ?? '')?.[0]
      if (cabinet === undefined) return
      const now = nowMs()
      const turn = Math.max(now, nextMs.get(cabinet) ?? 0)
      nextMs.set(cabinet, turn + spacingMs)
      if (turn > now) await pause(turn - now, signal)
    },
  }
}
