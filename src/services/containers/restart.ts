/** Docker's restart policies. What a person stopped or killed stays stopped, also when the daemon starts anew. */
import type { Container } from '../../model/container.ts'

type Ended = Pick<Container, 'options' | 'stopBy' | 'exitCode' | 'restartCount'>

/** Whether a container that has ended is started again. */
export function shouldRestart(container: Ended): boolean {
  if (container.stopBy !== 'exit') return false
  const [policy, limit] = container.options.restart.split(':')
  if (policy === 'always') return true
  if (policy !== 'on-failure' || container.exitCode === 0) return false
  return limit === undefined || container.restartCount < Number(limit)
}

const FIRST_DELAY_MS = 500
const LONGEST_DELAY_MS = 60_000
/** A workload that ran so long is not in a loop of crashes (docker's measure). */
const SETTLED_MS = 10_000

/** How long to wait before the next start, milliseconds: longer each time, unless the last run was a long one. */
export function restartDelayMs(container: Pick<Container, 'restartCount' | 'startedAt'>, endedAtMs: number): number {
  if (container.startedAt !== undefined && endedAtMs - container.startedAt >= SETTLED_MS) return FIRST_DELAY_MS
  return Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(container.restartCount, 10))
}
