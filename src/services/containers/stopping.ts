/** The step `stopping`, and giving up: whatever happens, the machine ends off and free, or it is said that it could not be. */
import { AppError, explain } from '../../base/errors.ts'
import type { Container } from '../../model/container.ts'
import type { StoredMachine } from '../machines/ports.ts'
import { clearedForBoot, failedStage, isOurs, KILLED, NEVER_RAN } from './record.ts'
import { restartDelayMs, shouldRestart } from './restart.ts'
import type { LifecycleDeps, Tools, Turn } from './step.ts'
import { stateEvent } from './events.ts'

export function createStopping(deps: LifecycleDeps, { machineOf, preparedOf, move, isOff, patience }: Tools) {
  const { store, log, power, boot, boots, agent, logs, now } = deps

  async function stopping(turn: Turn): Promise<void> {
    const { watch, container } = turn
    const machine = await machineOf(container)
    // Without a boot the machine is off already: an earlier turn or an earlier daemon came this far.
    if (await boots.byContainer(container.id)) {
      if (container.startedAt !== undefined && container.stopBy !== 'exit') await endWorkload(turn, machine)
      // A daemon that was killed between switching off and saying so must not wait for a machine that is off.
      const isGone = !watch.isCollecting() && (await isOff(turn, machine))
      if (!isGone) watch.collect(container)
      if (!(await watch.drained(patience.drainMs)))
        log.warn('output may be incomplete', { containerId: container.id, machine: machine.name })
    }
    const cause = await switchOff(turn, machine)
    const finishedAt = now()
    if (cause !== undefined)
      return move(container, 'fail', (seen) => ({
        finishedAt,
        machineOff: false,
        exitCode: seen.exitCode ?? KILLED,
        cause,
        failedStage: 'power-off',
      }))
    const last = (await store.byId(container.id)) ?? container
    const exitCode = last.exitCode ?? KILLED
    if (shouldRestart({ ...last, exitCode })) return again(turn, last, finishedAt)
    await move(last, 'off', (seen) => ({ finishedAt, machineOff: true, exitCode: seen.exitCode ?? KILLED }))
  }

  /** Starts once more after a pause, unless somebody stops it meanwhile. The machine stays the container's own. */
  async function again({ live }: Turn, container: Container, endedAt: number): Promise<void> {
    const nextMs = endedAt + restartDelayMs(container, endedAt)
    for (;;) {
      const { news } = live
      const seen = await store.byId(container.id)
      // The next turn ends what somebody has stopped.
      if (seen?.stopBy !== 'exit' || seen.cause !== undefined) return
      if (now() >= nextMs) break
      await live.waitFor(news, nextMs - now())
    }
    const outputFrom = await sizesOf(container.id)
    logs.reopen(container.id)
    const patch = { ...clearedForBoot(container, now(), outputFrom), restartCount: container.restartCount + 1 }
    await store.transition(
      container.id,
      'again',
      (seen) => (seen.stopBy === 'exit' ? patch : undefined),
      stateEvent(container, 'again', patch),
    )
  }

  /** Asks the workload to end, then makes it. Whatever happens, the machine is switched off after this. */
  async function endWorkload(turn: Turn, machine: StoredMachine): Promise<void> {
    const { live, container } = turn
    const isOs = container.mode === 'os'
    const asked = container.graceSeconds ?? (isOs ? undefined : container.options.stopTimeoutSeconds)
    const graceMs = asked === undefined ? patience.osGraceMs : asked * 1000
    try {
      if (container.stopBy === 'stop') {
        const stopSignal = isOs ? undefined : (await preparedOf(live, container)).workload.stopSignal
        await command(turn, stopSignal === undefined ? ['power-off'] : ['signal', stopSignal])
        if (await waitForEnd(turn, machine, graceMs)) return
      }
      if (isOs) return
      await command(turn, ['signal', 'KILL'])
      await waitForEnd(turn, machine, patience.killMs)
    } catch (error) {
      live.signal.throwIfAborted()
      log.debug('workload not asked to end', { containerId: container.id, why: explain(error) })
    }
  }

  /** A command that a machine which hangs does not hold up. */
  async function command({ live }: Turn, words: readonly string[]): Promise<void> {
    const sent = agent.command(live, words)
    sent.catch(() => {})
    const late = AbortSignal.timeout(patience.agentMs)
    const lateness = new Promise<never>((_resolve, reject) =>
      late.addEventListener('abort', () => reject(new AppError('timeout', 'Cannot reach the agent in time'))),
    )
    await Promise.race([sent, lateness])
  }

  /** @returns true when the workload has ended; false when the time is over or somebody wants it killed */
  async function waitForEnd(turn: Turn, machine: StoredMachine, ms: number): Promise<boolean> {
    const { live, container } = turn
    const endMs = now() + ms
    for (;;) {
      const { news } = live
      const seen = await store.byId(container.id)
      if (!seen || seen.exitCode !== undefined) return true
      if (container.mode === 'os' && (await isOff(turn, machine, true))) {
        await store.patch(container.id, (last) => (last.exitCode === undefined ? { exitCode: 0 } : undefined))
        return true
      }
      if (now() >= endMs || (seen.stopBy === 'kill' && container.stopBy !== 'kill')) return false
      await live.waitFor(news, Math.min(endMs - now(), 1000))
    }
  }

  /** @returns why the machine could not be switched off, or undefined when it was seen to be off */
  async function switchOff({ live, watch, container }: Turn, machine: StoredMachine): Promise<string | undefined> {
    const open = await boots.byContainer(container.id)
    let cause: string | undefined
    try {
      await power.set(machine, 'off', { containerId: container.id, signal: live.signal })
    } catch (error) {
      live.signal.throwIfAborted()
      // Not the machine's fault: the loop tries again.
      if (isOurs(error)) throw error
      cause = explain(error)
    }
    await watch.end()
    await deps.nfs.shut(container.id)
    if (open) await boot.end(open.token)
    if (container.options.via === 'media')
      await deps.medium.unmount(machine, container.id).catch((error: unknown) => {
        live.signal.throwIfAborted()
        log.warn('medium not taken out yet', { containerId: container.id, why: explain(error) })
      })
    logs.close(container.id)
    return cause
  }

  async function sizesOf(containerId: string): Promise<{ stdout: number; stderr: number }> {
    return { stdout: await logs.size(containerId, 'stdout'), stderr: await logs.size(containerId, 'stderr') }
  }

  return {
    stopping,
    sizesOf,

    /** Leaves the machine off and free, and the container failed with its cause. */
    async giveUp(turn: Turn): Promise<void> {
      const { container } = turn
      const isTouched = container.poweredAt !== undefined || (await boots.byContainer(container.id)) !== undefined
      const machine = isTouched ? await machineOf(container).catch(() => undefined) : undefined
      const offCause = machine && (await switchOff(turn, machine))
      const also = offCause === undefined ? '' : `; the machine could not be switched off: ${offCause}`
      await move(container, 'fail', (seen) => ({
        cause: `${container.cause}${also}`,
        failedStage: container.failedStage ?? failedStage(container),
        finishedAt: now(),
        exitCode: seen.exitCode ?? NEVER_RAN,
        ...(machine ? { machineOff: offCause === undefined } : {}),
      }))
    },
  }
}
