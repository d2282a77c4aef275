/**
 * The life of one container, driven from what is stored. Each turn of the loop reads the record and does the one thing that
 * its state asks for; what machines and people say arrives as changes of the record. So a daemon that was killed at any point
 * goes on from the same record, and the same code serves the first run and the resumption.
 *
 * What fails in a turn becomes the record's cause, and the next turn gives up: machine off, container failed. What cannot even
 * be written is tried again, for as long as the daemon lives.
 */
import { AppError, explain } from '../../base/errors.ts'
import type { Container } from '../../model/container.ts'
import type { Live } from './live.ts'
import { createPowerOn } from './power-on.ts'
import { failedStage, isLive, isOurs } from './record.ts'
import type { createReports } from './reports.ts'
import { createRunning } from './running.ts'
import { createTools, type LifecycleDeps, type Turn } from './step.ts'
import { createStopping } from './stopping.ts'
import { createWatch } from './watch.ts'

export type Lifecycle = ReturnType<typeof createLifecycle>

export function createLifecycle(deps: LifecycleDeps, reports: ReturnType<typeof createReports>) {
  const { store, log, now } = deps
  const tools = createTools(deps)
  const { move, patience } = tools
  const powerOn = createPowerOn(deps, tools)
  const running = createRunning(deps, tools)
  const stopping = createStopping(deps, tools)

  /** What each live state asks for. */
  const STEPS: Partial<Record<Container['state'], (turn: Turn) => Promise<void>>> = {
    created: ({ container }) => move(container, 'begin'),
    preparing: powerOn.preparing,
    powering: powerOn.powering,
    booting: running.booting,
    running: running.running,
    stopping: stopping.stopping,
  }

  async function step(turn: Turn): Promise<void> {
    const { container } = turn
    if (container.cause !== undefined) return stopping.giveUp(turn)
    if (container.state !== 'stopping') {
      if (container.state === 'booting' && container.stage === 'running')
        return move(container, 'up', (seen) => ({ startedAt: seen.startedAt ?? now() }))
      if (container.stopBy !== undefined) return move(container, 'stop')
      if (container.exitCode !== undefined)
        return move(container, 'exit', (seen) => ({ stopBy: seen.stopBy ?? 'exit' }))
    }
    await STEPS[container.state]?.(turn)
  }

  /**
   * Drives a container until it has exited or failed, or the daemon lets go of it.
   * @returns the record that it ended with; undefined when it is not over, or was removed
   */
  async function drive(live: Live): Promise<Container | undefined> {
    const watch = createWatch(
      {
        ...deps,
        failed: async (containerId, cause) => {
          const seen = await store.byId(containerId)
          if (seen) await reports.failed(containerId, failedStage(seen), cause)
        },
      },
      live,
    )
    let pauseMs = patience.retryMs
    try {
      while (!live.signal.aborted) {
        const { news } = live
        let container: Container | undefined
        try {
          container = await store.byId(live.containerId)
          if (!container || !(isLive(container) || container.state === 'created')) {
            // Also when no machine was touched: who follows its output waits for the end.
            deps.logs.close(live.containerId)
            return container
          }
          await step({ live, watch, container, news })
          pauseMs = patience.retryMs
        } catch (error) {
          if (live.signal.aborted || (await isNoted(container, error))) continue
          log.error('container turn failed; trying again', { containerId: live.containerId, error: explain(error) })
          await live.waitFor(new Promise(() => {}), pauseMs).catch(() => {})
          pauseMs = Math.min(pauseMs * 2, patience.longestRetryMs)
        }
      }
      return undefined
    } finally {
      await watch.end()
    }
  }

  /** Takes down why a turn failed. @returns false when that could not be written, or the turn was already giving up */
  async function isNoted(container: Container | undefined, error: unknown): Promise<boolean> {
    if (!container || container.cause !== undefined) return false
    // A machine has to be switched off whatever our side can do just now.
    if (container.state === 'stopping' && isOurs(error)) return false
    if (!(error instanceof AppError)) log.error('container turn failed', { containerId: container.id, error })
    const cause = explain(error)
    try {
      await store.patch(container.id, (seen) =>
        isLive(seen) && seen.cause === undefined
          ? { cause, failedStage: seen.failedStage ?? failedStage(seen) }
          : undefined,
      )
      return true
    } catch (unwritten) {
      log.error('cause not written', { containerId: container.id, error: explain(unwritten) })
      return false
    }
  }

  return { drive, preparedOf: tools.preparedOf, sizesOf: stopping.sizesOf }
}
