/** The steps `booting` and `running`: the machine is on, and is looked after until its workload ends. */
import { AppError } from '../../base/errors.ts'
import { stallCause } from '../../model/stage.ts'
import type { Container } from '../../model/container.ts'
import type { StoredMachine } from '../machines/ports.ts'
import { containerEvent } from './events.ts'
import { hasNews, leftMs, leftOfAllMs, shouldBootAgain } from './record.ts'
import type { LifecycleDeps, Tools, Turn } from './step.ts'

export function createRunning(
  { store, boots, log, power, now }: LifecycleDeps,
  { machineOf, move, isOff, patience }: Tools,
) {
  const serverStartedAt = now()

  /** The machine is to be switched off and on again, with a new boot: a new intent, not the old one sent twice. */
  async function bootAgain(container: Container, reason: string): Promise<void> {
    const at = now()
    const again = { bootedAgainAt: at, stage: undefined, stagedAt: at, poweredAt: undefined, ip: undefined }
    await store.transition(
      container.id,
      'cycle',
      () => again,
      containerEvent(container, 'boot-again', 'daemon', { reason }),
    )
    log.warn('booting again', { containerId: container.id, machine: container.machineName, reason })
  }

  async function refuseOff(turn: Turn, machine: StoredMachine): Promise<void> {
    if (!(await isOff(turn, machine))) return
    // What the machine said last may have come while the BMC was asked.
    const seen = await store.byId(turn.container.id)
    if (!seen || hasNews(seen)) return
    throw new AppError(
      'boot_failed',
      `the machine switched itself off after stage "${seen.stage ?? 'power-on'}"; the console shows what it said`,
    )
  }

  return {
    /** Waits for the next stage, within its budget and the deadline of the whole. */
    async booting(turn: Turn): Promise<void> {
      const { live, watch, container, news } = turn
      const machine = await machineOf(container)
      await watch.record(machine)
      watch.collect(container)
      // A person who switches on has all the time that there is.
      const isByHand = container.stage === 'power-on' && (await power.onBy(machine)) === 'hand'
      const ms = isByHand ? leftOfAllMs(container, now()) : leftMs(container, now())
      if (ms <= 0) {
        const sinceMs = now() - (container.stagedAt ?? container.createdAt)
        const cause = stallCause(container.stage, sinceMs / 1000)
        const openedAt = (await boots.byContainer(container.id))?.createdAt
        if (openedAt !== undefined && shouldBootAgain(container, { openedAt, serverStartedAt, at: now() }))
          return bootAgain(container, `the server was started anew during the boot; ${cause}`)
        throw new AppError('boot_failed', cause)
      }
      await live.waitFor(news, Math.min(ms, patience.powerCheckBootingMs))
      if (!isByHand) await refuseOff(turn, machine)
    },

    async running(turn: Turn): Promise<void> {
      const { live, watch, container, news } = turn
      const machine = await machineOf(container)
      await watch.record(machine)
      watch.collect(container)
      await live.waitFor(news, patience.powerCheckRunningMs)
      const seen = await store.byId(container.id)
      if (!seen || hasNews(seen)) return
      // An operating system that switched its machine off has ended well.
      if (container.mode === 'os' && (await isOff(turn, machine)))
        return move(container, 'exit', (last) => ({ stopBy: last.stopBy ?? 'exit', exitCode: last.exitCode ?? 0 }))
      await refuseOff(turn, machine)
    },
  }
}
