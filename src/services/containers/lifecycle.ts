/**
 * The life of one container, driven from what is stored. Each turn of the loop reads the record and does the one thing that
 * its state asks for; what machines and people say arrives as changes of the record. So a daemon that was killed at any point
 * goes on from the same record, and the same code serves the first run and the resumption.
 */
import { sleep, type Now } from '../../base/clock.ts'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Container, ContainerAction } from '../../model/container.ts'
import type { NewEvent } from '../../model/event.ts'
import { STAGES, stallCause, stageAfter, type Stage } from '../../model/stage.ts'
import type { BootService } from '../boot/boot.ts'
import type { BootStore } from '../boot/ports.ts'
import type { ConsoleService } from '../console/console.ts'
import { fatalCause } from '../console/panic.ts'
import type { Images } from '../images/images.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { PowerService } from '../power/power.ts'
import type { Agent } from './agent.ts'
import type { Live } from './live.ts'
import { refuseTooSmall } from './place.ts'
import type { ContainerStore, LogStore, LogStream } from './ports.ts'
import { prepare, type PrepareDeps, type PreparedContainer } from './prepare.ts'
import { shouldRestart } from './restart.ts'

export interface LifecycleDeps extends PrepareDeps {
  readonly log: Log
  readonly store: ContainerStore
  readonly boots: BootStore
  readonly boot: BootService
  readonly logs: LogStore
  readonly power: PowerService
  readonly console: ConsoleService
  readonly agent: Agent
  readonly images: Images
  readonly machineById: (machineId: string) => Promise<StoredMachine | undefined>
  readonly now: Now
}

/** Between two looks at the power state of a machine that should be on, milliseconds. */
const POWER_CHECK_MS = { booting: 10_000, running: 20_000 }
/** How long the last output may take to arrive after the workload has ended, milliseconds. */
const DRAIN_MS = 20_000
/** An operating system's own shutdown takes longer than a program's end, seconds. */
const OS_GRACE_SECONDS = 90
const KILLED = 137

export type Lifecycle = ReturnType<typeof createLifecycle>

export function createLifecycle(deps: LifecycleDeps) {
  const { store, log, power, boot, boots, agent, logs, now } = deps

  /** Drives a container until it has exited or failed, or the daemon lets go of it. */
  async function drive(live: Live): Promise<void> {
    const held: Held = { stopRecording: undefined, output: undefined }
    try {
      while (!live.signal.aborted) {
        const news = live.news
        const container = await store.byId(live.containerId)
        if (!container || container.state === 'exited' || container.state === 'failed') return
        try {
          await turn(live, held, container, news)
        } catch (error) {
          if (live.signal.aborted) return
          if (!(error instanceof AppError)) log.error('container turn failed', { containerId: container.id, error })
          await notePatch(container, { cause: explain(error), failedStage: failedStage(container) })
        }
      }
    } finally {
      await live.session?.[Symbol.asyncDispose]()
      await held.stopRecording?.()
    }
  }

  async function turn(live: Live, held: Held, container: Container, news: Promise<void>): Promise<void> {
    if (container.state !== 'stopping') {
      if (container.cause !== undefined) return giveUp(live, held, container)
      if (container.stopBy !== undefined) return move(container, 'stop', {})
      if (container.exitCode !== undefined) return move(container, 'exit', { stopBy: 'exit' })
    }
    switch (container.state) {
      case 'created':
        return move(container, 'begin', {})
      case 'preparing':
        return preparing(live, held, container)
      case 'powering':
        await powerOn(live, held, container)
        return move(container, 'powered', {})
      case 'booting':
        return booting(live, held, container, news)
      case 'running':
        return running(live, held, container, news)
      case 'stopping':
        return stopping(live, held, container)
      default:
        return
    }
  }

  async function preparing(live: Live, held: Held, container: Container): Promise<void> {
    const machine = await machineOf(container)
    const early = await isEarly(container, machine)
    const powering = early ? powerOn(live, held, container) : Promise.resolve()
    powering.catch(() => {})
    const stop = stopSignal(live, container.id)
    try {
      const image = await deps.images.pull(
        container.image,
        { policy: container.options.pull, platform: `linux/${container.options.platform ?? machine.arch}` },
        undefined,
        stop.signal,
      )
      if (image.platform.architecture !== machine.arch)
        throw new AppError(
          'invalid',
          `Cannot run "${container.image}" on "${machine.name}": the image is for ${image.platform.architecture}, the machine is ${machine.arch}`,
        )
      const known = { ...container, imageId: image.id }
      const ready = await prepare(deps, known)
      refuseTooSmall(machine, container.image, ready.rootfs.sizeBytes)
      live.prepared = Promise.resolve(ready)
      await powering
      await move(container, 'prepared', {
        imageId: image.id,
        mode: ready.workload.mode,
        command: [...ready.workload.argv],
      })
    } catch (error) {
      await powering.catch(() => {})
      if (!stop.signal.aborted || live.signal.aborted) throw error
    } finally {
      stop.end()
    }
  }

  /**
   * Switches the machine on, once: off first so that it starts from its firmware, then the override, then a boot with new
   * secrets, which is written before the command. A boot that is there after a crash means that it was off since.
   */
  async function powerOn(live: Live, held: Held, container: Container): Promise<void> {
    if (container.poweredAt !== undefined) return
    const machine = await machineOf(container)
    const intent = { containerId: container.id, signal: live.signal }
    await record(live, held, container, machine)
    if (!(await boots.byContainer(container.id))) {
      await power.set(machine, 'off', intent)
      const firmware = machine.firmware ?? 'uefi'
      await power.setBoot(machine, { device: 'pxe', firmware, once: true }, live.signal)
      await boot.open(container.id, machine.id)
    }
    await power.set(machine, 'on', intent)
    const at = now()
    await store.patch(
      container.id,
      { poweredAt: at, stage: 'power-on', stagedAt: at },
      stageEvent(container, 'power-on', 'bmc'),
    )
    live.poke()
  }

  async function booting(live: Live, held: Held, container: Container, news: Promise<void>): Promise<void> {
    const machine = await machineOf(container)
    await record(live, held, container, machine)
    if (container.stage === 'running') return move(container, 'up', { startedAt: now() })
    collectOutput(live, held, container)
    const leftMs = untilDeadline(container)
    if (leftMs <= 0) {
      const sinceMs = now() - (container.stagedAt ?? container.createdAt)
      throw new AppError('boot_failed', stallCause(container.stage, sinceMs / 1000))
    }
    await live.waitFor(news, Math.min(leftMs, POWER_CHECK_MS.booting))
    await refuseOff(live, container, machine)
  }

  async function running(live: Live, held: Held, container: Container, news: Promise<void>): Promise<void> {
    const machine = await machineOf(container)
    await record(live, held, container, machine)
    collectOutput(live, held, container)
    await live.waitFor(news, POWER_CHECK_MS.running)
    const seen = await store.byId(container.id)
    if (!seen || hasNews(seen)) return
    if (container.mode === 'os' && (await isOff(live, machine)))
      return move(container, 'exit', { stopBy: 'exit', exitCode: 0 })
    await refuseOff(live, container, machine)
  }

  async function stopping(live: Live, held: Held, container: Container): Promise<void> {
    const machine = await machineOf(container)
    if (container.startedAt !== undefined && container.stopBy === 'stop') await endWorkload(live, container, machine)
    if (container.stage === 'init' || container.stage === 'running') {
      collectOutput(live, held, container)
      await Promise.race([held.output ?? Promise.resolve(), sleep(DRAIN_MS, live.signal).catch(() => {})])
      live.signal.throwIfAborted()
    }
    const cause = await switchOff(live, held, container, machine)
    const seen = (await store.byId(container.id)) ?? container
    const ended = { finishedAt: now(), machineOff: cause === undefined, exitCode: seen.exitCode ?? KILLED }
    if (cause !== undefined) return move(container, 'fail', { ...ended, cause, failedStage: 'power-off' })
    if (shouldRestart({ ...seen, ...ended })) {
      await sleep(restartDelayMs(container), live.signal)
      const count = container.restartCount + 1
      logs.reopen(container.id)
      return move(container, 'again', { ...clearedForBoot(container, now()), restartCount: count })
    }
    await move(container, 'off', ended)
  }

  /** Asks the workload to end, then makes it. Whatever happens, the machine is switched off after this. */
  async function endWorkload(live: Live, container: Container, machine: StoredMachine): Promise<void> {
    const isOs = container.mode === 'os'
    const graceSeconds = container.graceSeconds ?? (isOs ? OS_GRACE_SECONDS : container.options.stopTimeoutSeconds)
    const { workload } = await preparedOf(live, container)
    try {
      await agent.command(live, isOs ? ['power-off'] : ['signal', workload.stopSignal])
      if (await waitForEnd(live, container, machine, graceSeconds * 1000)) return
      if (!isOs) await agent.command(live, ['signal', 'KILL'])
      await waitForEnd(live, container, machine, 5000)
    } catch (error) {
      live.signal.throwIfAborted()
      log.debug('workload not asked to end', { containerId: container.id, why: explain(error) })
    }
  }

  async function waitForEnd(live: Live, container: Container, machine: StoredMachine, ms: number): Promise<boolean> {
    const endMs = now() + ms
    for (;;) {
      const news = live.news
      if ((await store.byId(container.id))?.exitCode !== undefined) return true
      if (container.mode === 'os' && (await isOff(live, machine))) {
        await store.patch(container.id, { exitCode: 0 })
        return true
      }
      if (now() >= endMs) return false
      await live.waitFor(news, Math.min(endMs - now(), 1000))
    }
  }

  /** Leaves the machine off and free, and the container failed with its cause. */
  async function giveUp(live: Live, held: Held, container: Container): Promise<void> {
    const machine = await machineOf(container)
    const touched = container.poweredAt !== undefined || (await boots.byContainer(container.id)) !== undefined
    const offCause = touched ? await switchOff(live, held, container, machine) : undefined
    const also = offCause === undefined ? '' : `; the machine could not be switched off: ${offCause}`
    await move(container, 'fail', {
      cause: `${container.cause}${also}`,
      failedStage: container.failedStage ?? failedStage(container),
      finishedAt: now(),
      exitCode: container.exitCode ?? 125,
      ...(touched ? { machineOff: offCause === undefined } : {}),
    })
  }

  /** @returns why the machine could not be switched off, or undefined when it is off */
  async function switchOff(
    live: Live,
    held: Held,
    container: Container,
    machine: StoredMachine,
  ): Promise<string | undefined> {
    const open = await boots.byContainer(container.id)
    await live.session?.[Symbol.asyncDispose]()
    live.session = undefined
    let cause: string | undefined
    try {
      await power.set(machine, 'off', { containerId: container.id, signal: live.signal })
    } catch (error) {
      live.signal.throwIfAborted()
      cause = explain(error)
    }
    if (open) await boot.end(open.token)
    await held.stopRecording?.()
    held.stopRecording = undefined
    held.output = undefined
    logs.close(container.id)
    return cause
  }

  async function record(live: Live, held: Held, container: Container, machine: StoredMachine): Promise<void> {
    held.stopRecording ??= await deps.console.record(machine, container.id, (line) => {
      const cause = fatalCause(line)
      if (cause === undefined) return
      void (async () => {
        const seen = await store.byId(container.id)
        if (seen && ['powering', 'booting', 'running'].includes(seen.state))
          await notePatch(seen, { cause, failedStage: failedStage(seen) })
        live.poke()
      })().catch((error: unknown) => log.error('console cause not noted', { error: explain(error) }))
    })
  }

  function collectOutput(live: Live, held: Held, container: Container): void {
    if (container.mode !== 'app' || (container.stage !== 'init' && container.stage !== 'running')) return
    const streams: LogStream[] = container.options.tty ? ['stdout'] : ['stdout', 'stderr']
    held.output ??= agent.collect(live, streams)
  }

  function preparedOf(live: Live, container: Container): Promise<PreparedContainer> {
    live.prepared ??= prepare(deps, container)
    live.prepared.catch(() => {
      live.prepared = undefined
    })
    return live.prepared
  }

  async function isEarly(container: Container, machine: StoredMachine): Promise<boolean> {
    if (container.options.early !== 'auto') return container.options.early === 'true'
    if (container.options.pull === 'always') return true
    const isHere = await deps.images.resolve(container.image).then(
      () => true,
      () => false,
    )
    return !isHere && machine.bmc !== undefined && container.options.pull !== 'never'
  }

  async function refuseOff(live: Live, container: Container, machine: StoredMachine): Promise<void> {
    if (!(await isOff(live, machine))) return
    // What the machine said last may have come while the BMC was asked.
    const seen = await store.byId(container.id)
    if (!seen || hasNews(seen)) return
    throw new AppError(
      'boot_failed',
      `the machine switched itself off after stage "${seen.stage ?? 'power-on'}"; the console shows what it said`,
    )
  }

  async function isOff(live: Live, machine: StoredMachine): Promise<boolean> {
    try {
      return (await power.status(machine, live.signal)) === 'off'
    } catch (error) {
      live.signal.throwIfAborted()
      log.debug('power state not read', { machine: machine.name, why: explain(error) })
      return false
    }
  }

  async function machineOf(container: Container): Promise<StoredMachine> {
    const machine = container.machineId === undefined ? undefined : await deps.machineById(container.machineId)
    if (!machine)
      throw new AppError('not_found', `Cannot go on with "${container.name}": its machine is not known any more`)
    return machine
  }

  /** Aborts when the daemon lets go, or somebody stops the container. */
  function stopSignal(live: Live, containerId: string): { signal: AbortSignal; end: () => void } {
    const stopped = new AbortController()
    const over = new AbortController()
    const watch = async (): Promise<void> => {
      while (!over.signal.aborted && !live.signal.aborted) {
        const news = live.news
        if ((await store.byId(containerId))?.stopBy !== undefined) return stopped.abort()
        await live.waitFor(news, 60_000).catch(() => {})
      }
    }
    void watch()
    return {
      signal: AbortSignal.any([live.signal, stopped.signal]),
      end: () => {
        over.abort()
        live.poke()
      },
    }
  }

  async function move(container: Container, action: ContainerAction, patch: Partial<Container>): Promise<void> {
    const moved = await store.transition(container.id, action, patch, stateEvent(container, action, patch))
    if (moved)
      log.info('container moved', {
        containerId: moved.id,
        machine: moved.machineName,
        to: moved.state,
        cause: moved.cause,
      })
  }

  async function notePatch(container: Container, patch: Partial<Container>): Promise<void> {
    if (container.state === 'stopping')
      return move(container, 'fail', { ...patch, finishedAt: now(), machineOff: false })
    await store.patch(container.id, patch)
  }

  function untilDeadline(container: Container): number {
    const waiting = container.stage === undefined ? 'power-on' : (stageAfter(container.stage) ?? 'running')
    const budgetMs = (container.stagedAt ?? now()) + STAGES[waiting].budgetSeconds * 1000 - now()
    return Math.min(budgetMs, (container.deadlineAt ?? Number.MAX_SAFE_INTEGER) - now())
  }

  return {
    drive,
    preparedOf,

    /** What a machine reports: kept, and told to whoever drives the container. Reports that come late or twice change nothing. */
    async stage(live: Live, stage: Stage, source: string, attributes: Readonly<Record<string, string>>): Promise<void> {
      const container = await store.byId(live.containerId)
      if (!container || !['preparing', 'powering', 'booting'].includes(container.state)) return
      if (container.stage !== undefined && !comesAfter(stage, container.stage)) return
      const ip = attributes['ip']
      await store.patch(
        container.id,
        { stage, stagedAt: now(), ...(ip === undefined ? {} : { ip }) },
        stageEvent(container, stage, source, attributes),
      )
      live.poke()
    },

    async failed(live: Live, stage: string, cause: string): Promise<void> {
      const container = await store.byId(live.containerId)
      if (!container || container.cause !== undefined || !['powering', 'booting', 'running'].includes(container.state))
        return
      await store.patch(container.id, { cause, failedStage: stage })
      live.poke()
    },

    async exit(live: Live, exitCode: number): Promise<void> {
      const container = await store.byId(live.containerId)
      if (!container || container.exitCode !== undefined) return
      const startedAt = container.startedAt ?? now()
      await store.patch(container.id, { exitCode, startedAt }, exitEvent(container, exitCode))
      live.poke()
    },
  }
}

interface Held {
  stopRecording: (() => Promise<void>) | undefined
  output: Promise<void> | undefined
}

/** The fields that a new boot of the same container starts with. */
export function clearedForBoot(container: Container, at: number): Partial<Container> {
  return {
    stage: undefined,
    stagedAt: at,
    cause: undefined,
    failedStage: undefined,
    exitCode: undefined,
    stopBy: undefined,
    graceSeconds: undefined,
    startedAt: undefined,
    finishedAt: undefined,
    poweredAt: undefined,
    machineOff: undefined,
    deadlineAt: at + container.options.timeoutSeconds * 1000,
  } as unknown as Partial<Container>
}

function hasNews(container: Container): boolean {
  return container.exitCode !== undefined || container.cause !== undefined || container.stopBy !== undefined
}

function comesAfter(stage: Stage, reached: Stage): boolean {
  const names = Object.keys(STAGES)
  return names.indexOf(stage) > names.indexOf(reached)
}

function failedStage(container: Container): string {
  if (container.state === 'preparing' || container.state === 'created') return 'prepare'
  return container.stage === undefined ? 'power-on' : (stageAfter(container.stage) ?? 'running')
}

/** Restarts that follow each other wait longer each time, up to a minute. */
function restartDelayMs(container: Container): number {
  return Math.min(60_000, 500 * 2 ** Math.min(container.restartCount, 7))
}

function stageEvent(
  container: Container,
  stage: Stage,
  source: string,
  attributes: Readonly<Record<string, string>> = {},
): NewEvent {
  return containerEvent(container, 'stage', source, { ...attributes, stage })
}

function exitEvent(container: Container, exitCode: number): NewEvent {
  return containerEvent(container, 'die', 'guest', { exitCode: String(exitCode) })
}

const EVENT_NAMES: Partial<Record<ContainerAction, string>> = {
  up: 'start',
  fail: 'fail',
  off: 'stop',
  again: 'restart',
}

function stateEvent(container: Container, action: ContainerAction, patch: Partial<Container>): NewEvent {
  const attributes = {
    transition: action,
    ...(patch.cause === undefined ? {} : { cause: patch.cause }),
    ...(patch.exitCode === undefined ? {} : { exitCode: String(patch.exitCode) }),
  }
  return containerEvent(container, EVENT_NAMES[action] ?? 'state', 'daemon', attributes)
}

/** An event about a container, with what people filter by. */
export function containerEvent(
  container: Container,
  action: string,
  source: string,
  attributes: Readonly<Record<string, string>> = {},
): NewEvent {
  return {
    kind: 'container',
    action,
    subjectId: container.id,
    name: container.name,
    source,
    attributes: {
      image: container.image,
      ...(container.machineName === undefined ? {} : { machine: container.machineName }),
      ...attributes,
    },
  }
}
