/** The steps `booting` and `running`: the machine is on, and is looked after until its workload ends. */
import { AppError, explain } from '../../base/errors.ts'
import { mediumStallCause, stallCause } from '../../model/stage.ts'
import type { Container } from '../../model/container.ts'
import type { StoredMachine } from '../machines/ports.ts'
import { containerEvent } from './events.ts'
import { hasNews, leftMs, leftOfAllMs, shouldBootAgain } from './record.ts'
import type { LifecycleDeps, Tools, Turn } from './step.ts'

export function createRunning(
  { store, boots, log, power, medium, now }: LifecycleDeps,
  { machineOf, move, isOff, patience }: Tools,
) {
  /** Media that are being taken out, by container. */
  const leaving = new Set<string>()
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

  async function standstill(container: Container, machine: StoredMachine): Promise<string> {
    const seconds = (now() - (container.stagedAt ?? container.createdAt)) / 1000
    if (container.options.via !== 'media') return stallCause(container.stage, seconds)
    const hint = await medium.hint(machine, container.id).catch(() => undefined)
    return mediumStallCause(container.stage, seconds, hint)
  }

  /** Takes out what the machine has booted from, beside what it does; a BMC that does not obey is told again. */
  function release(container: Container, machine: StoredMachine): void {
    if (container.options.via !== 'media' || leaving.has(container.id)) return
    leaving.add(container.id)
    medium
      .unmount(machine, container.id)
      .catch((error: unknown) =>
        log.debug('medium not taken out yet', { containerId: container.id, why: explain(error) }),
      )
      .finally(() => leaving.delete(container.id))
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
        const cause = await standstill(container, machine)
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
      release(container, machine)
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
