/** The steps `preparing` and `powering`: image ready, machine on. With early power-on both at once. */
import { AppError, explain } from '../../base/errors.ts'
import { untilAborted } from '../../base/task.ts'
import type { Container } from '../../model/container.ts'
import type { StoredMachine } from '../machines/ports.ts'
import { stageEvent } from './events.ts'
import { refuseTooSmall } from './place.ts'
import { prepare, type PreparedContainer } from './prepare.ts'
import { leftOfAllMs } from './record.ts'
import { rootHashOf, rootMemoryBytes } from './roots.ts'
import type { LifecycleDeps, Tools, Turn } from './step.ts'

export function createPowerOn(deps: LifecycleDeps, { machineOf, move }: Tools) {
  const { store, log, power, boots, boot, now } = deps

  /** Makes the image ready, until the deadline of the whole: a pull that hangs ends with it. */
  async function preparing(turn: Turn): Promise<void> {
    const { live, container } = turn
    const machine = await machineOf(container)
    const over = new AbortController()
    const deadline = AbortSignal.timeout(Math.max(1, Math.min(leftOfAllMs(container, now()), 2 ** 31 - 1)))
    const powering = (await isEarly(container, machine)) ? powerOn(turn) : undefined
    // A machine that cannot be switched on ends the preparation at once.
    powering?.catch((error: unknown) => over.abort(error))
    const watching = abortOnNews(turn, over)
    const signal = AbortSignal.any([live.signal, over.signal, deadline])
    try {
      const ready = await untilAborted(makeReady(container, machine, signal), signal)
      live.prepared = Promise.resolve(ready)
      await powering
      await move(container, 'prepared', () => ({
        imageId: ready.imageId,
        rootfs: ready.root.kind,
        ...rootHashOf(ready.root),
        mode: ready.workload.mode,
        command: [...ready.workload.argv],
        // The next stage's budget begins here: a machine that is on early has waited for its image.
        stagedAt: now(),
      }))
    } catch (error) {
      await powering?.catch(() => {})
      live.signal.throwIfAborted()
      if (over.signal.reason === NEWS) return
      // A machine that is on early has stages of its own by now; they are not what failed.
      const failedStage = over.signal.aborted ? 'power-on' : 'prepare'
      await store.patch(container.id, (seen) => (seen.failedStage === undefined ? { failedStage } : undefined))
      if (over.signal.aborted) throw over.signal.reason
      if (deadline.aborted)
        throw new AppError(
          'timeout',
          `the image was not ready within ${container.options.timeoutSeconds} s of the run; is the registry slow? a longer --timeout helps, or pull it first`,
          { cause: undefined },
        )
      throw error
    } finally {
      over.abort(NEWS)
      live.poke()
      await watching
    }
  }

  async function makeReady(
    container: Container,
    machine: StoredMachine,
    signal: AbortSignal,
  ): Promise<PreparedContainer> {
    const image = await deps.images.pull(
      container.image,
      { policy: container.options.pull, platform: `linux/${container.options.platform ?? machine.arch}` },
      undefined,
      signal,
    )
    if (image.platform.architecture !== machine.arch)
      throw new AppError(
        'invalid',
        `Cannot run "${container.image}" on "${machine.name}": the image is for ${image.platform.architecture}, the machine is ${machine.arch}`,
      )
    // From here on the image is in use, whatever becomes of its name.
    await store.patch(container.id, (seen) => (seen.imageId === image.id ? undefined : { imageId: image.id }))
    const ready = await prepare(deps, { ...container, imageId: image.id }, signal)
    refuseTooSmall(machine, container.image, ready.root.kind, rootMemoryBytes(ready.root))
    return ready
  }

  /** Aborts `over` with NEWS when somebody stops the container or it has failed. */
  async function abortOnNews({ live, container }: Turn, over: AbortController): Promise<void> {
    while (!over.signal.aborted && !live.signal.aborted) {
      const news = live.news
      const seen = await store.byId(container.id).catch(() => container)
      if (!seen || seen.stopBy !== undefined || seen.cause !== undefined) return over.abort(NEWS)
      if (!over.signal.aborted) await live.waitFor(news, 60_000).catch(() => {})
    }
  }

  async function isEarly(container: Container, machine: StoredMachine): Promise<boolean> {
    if (container.options.early !== 'auto') return container.options.early === 'true'
    // Where the memory is known, the image is held against it before anything is switched on.
    if (machine.memoryMiB !== undefined) return false
    if (container.options.pull === 'always') return true
    const isHere = await deps.images.resolve(container.image).then(
      () => true,
      () => false,
    )
    return !isHere && machine.bmc !== undefined && container.options.pull !== 'never'
  }

  /**
   * Switches the machine on, once: off first so that it starts from its firmware, then the override, then a boot with new
   * secrets, which is written before the command. A boot that is there after a crash means that it was off since, unless it is that
   * of a first attempt.
   */
  async function powerOn({ live, watch, container }: Turn): Promise<void> {
    if (container.poweredAt !== undefined) return
    const machine = await machineOf(container)
    const intent = { containerId: container.id, signal: live.signal }
    await watch.record(machine)
    const open = await boots.byContainer(container.id)
    const isOfFirst = open !== undefined && open.createdAt < (container.bootedAgainAt ?? 0)
    if (isOfFirst) await boot.end(open.token)
    let token = open?.token
    const isMedia = container.options.via === 'media'
    const firmware = machine.firmware ?? 'uefi'
    if (!open || isOfFirst) {
      await power.set(machine, 'off', { ...intent, unknownIsOff: true })
      if (!isMedia) await power.setBoot(machine, { device: 'pxe', firmware, once: true }, live.signal)
      // Nobody had it open: a new boot has it under a name of its own.
      await deps.nfs.shut(container.id)
      token = (await boot.open(container.id, machine.id)).token
    }
    // One that is on has what it booted from.
    if (isMedia && (await power.status(machine, live.signal)) !== 'on') {
      const scriptUrl = boot.scriptUrl(token!)
      const device = await deps.medium.mount(machine, container.id, scriptUrl, container.options.timeoutSeconds)
      live.signal.throwIfAborted()
      await power.setBoot(machine, { device, firmware, once: true }, live.signal)
    }
    await power.set(machine, 'on', intent)
    if (isMedia) await keepMedium(container, machine)
    const by = await power.onBy(machine)
    if (by === 'hand') log.warn('machine is to be switched on by hand', { machine: machine.name })
    const at = now()
    await store.patch(
      container.id,
      // The machine may have been heard of before its BMC admitted that it is on.
      (seen) => ({ poweredAt: at, ...(seen.stage === undefined ? { stage: 'power-on', stagedAt: at } : {}) }),
      stageEvent(container, 'power-on', 'bmc', by === 'seen' ? {} : { by }),
    )
    live.poke()
  }

  /** Firmware takes longer to come to its drives than a BMC to have the medium again. */
  async function keepMedium(container: Container, machine: StoredMachine): Promise<void> {
    await deps.medium.keep(machine, container.id).catch((error: unknown) => {
      log.warn('medium not looked after', { containerId: container.id, machine: machine.name, why: explain(error) })
    })
  }

  return {
    preparing,

    async powering(turn: Turn): Promise<void> {
      await powerOn(turn)
      await move(turn.container, 'powered')
    },
  }
}

/** Why a preparation was broken off: the record has changed, and the next turn sees how. */
const NEWS = Symbol('news')
