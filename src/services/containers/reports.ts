/** What machines say of a container: kept when it is news. What comes late or twice changes nothing. */
import type { Now } from '../../base/clock.ts'
import type { Stage } from '../../model/stage.ts'
import { isBefore } from '../../model/stage.ts'
import { containerEvent, dieEvent, stageEvent } from './events.ts'
import type { ContainerStore } from './ports.ts'
import { isComingUpOrRunning, isLive } from './record.ts'

export interface ReportsDeps {
  readonly store: ContainerStore
  readonly now: Now
  /** Wakes whoever drives the container. */
  readonly poke: (containerId: string) => void
}

export function createReports({ store, now, poke }: ReportsDeps) {
  return {
    async stage(
      containerId: string,
      stage: Stage,
      source: string,
      attributes: Readonly<Record<string, string>> = {},
    ): Promise<void> {
      const container = await store.byId(containerId)
      if (!container) return
      const ip = attributes['ip']
      await store.patch(
        containerId,
        (seen) =>
          isComingUpOrRunning(seen) &&
          seen.state !== 'running' &&
          (seen.stage === undefined || isBefore(seen.stage, stage))
            ? { stage, stagedAt: now(), ...(ip === undefined ? {} : { ip }) }
            : undefined,
        stageEvent(container, stage, source, attributes),
      )
      poke(containerId)
    },

    async failed(containerId: string, failedStage: string, cause: string): Promise<void> {
      await store.patch(containerId, (seen) =>
        isComingUpOrRunning(seen) && seen.cause === undefined && seen.exitCode === undefined
          ? { cause, failedStage }
          : undefined,
      )
      poke(containerId)
    },

    async filled(containerId: string): Promise<void> {
      const container = await store.byId(containerId)
      if (!container) return
      await store.patch(
        containerId,
        (seen) => (isLive(seen) && seen.filledAt === undefined ? { filledAt: now() } : undefined),
        containerEvent(container, 'filled', 'guest'),
      )
    },

    async exit(containerId: string, exitCode: number): Promise<void> {
      const container = await store.byId(containerId)
      if (!container) return
      await store.patch(
        containerId,
        (seen) =>
          isLive(seen) && seen.exitCode === undefined ? { exitCode, startedAt: seen.startedAt ?? now() } : undefined,
        dieEvent(container, exitCode, 'guest'),
      )
      poke(containerId)
    },
  }
}
