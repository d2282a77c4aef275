/** Containers as people and the API use them: docker's verbs. The life itself is in lifecycle.ts. */
import { randomBytes } from 'node:crypto'
import { AppError, explain } from '../../base/errors.ts'
import { untilAborted } from '../../base/task.ts'
import type { Container, RunOptions } from '../../model/container.ts'
import { refuseResetAtime } from '../../model/fstype.ts'
import type { BootReports } from '../boot/boot.ts'
import { closedBecause } from '../machines/admission.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { EventBus } from '../ports.ts'
import { containerEvent } from './events.ts'
import { createLifecycle } from './lifecycle.ts'
import { Live } from './live.ts'
import { makeName } from './names.ts'
import { candidates } from './place.ts'
import type { PreparedContainer } from './prepare.ts'
import { clearedForBoot, isLive } from './record.ts'
import { createReports } from './reports.ts'
import type { LifecycleDeps } from './step.ts'

export interface ContainersDeps extends LifecycleDeps {
  readonly events: Pick<EventBus, 'listen'>
  readonly machines: () => Promise<StoredMachine[]>
  readonly learn: BootReports['facts']
  readonly random: () => number
}

export type ContainersService = ReturnType<typeof createContainers>

/** How often another machine or another made-up name is tried when somebody else was faster. */
const MAX_ROUNDS = 100

export function createContainers(deps: ContainersDeps) {
  const { store, log, logs, now } = deps
  const lives = new Map<string, Live>()
  const shutdown = new AbortController()
  const reports = createReports({ store, now, poke: (containerId) => lives.get(containerId)?.poke() })
  const lifecycle = createLifecycle(deps, reports)

  /** Starts driving a container, unless somebody does already. */
  function begin(containerId: string): Live {
    const known = lives.get(containerId)
    if (known) return known
    const live = new Live(containerId, shutdown.signal)
    lives.set(containerId, live)
    live.work = work(live)
    return live
  }

  async function work(live: Live): Promise<Container | undefined> {
    let last: Container | undefined
    try {
      last = await lifecycle.drive(live)
      if (last) await ended(last)
    } catch (error) {
      log.error('container no longer driven', { containerId: live.containerId, error: explain(error) })
    }
    lives.delete(live.containerId)
    return last
  }

  /** What follows an end: `--rm`. */
  async function ended(container: Container): Promise<void> {
    if (!container.options.remove || isLive(container)) return
    const exitCode = String(container.exitCode ?? '')
    await store.remove(container.id, containerEvent(container, 'destroy', 'daemon', { exitCode }))
    await logs.remove(container.id)
    await deps.nfs.remove(container.id)
  }

  /**
   * Waits until a container is not live, and removed when it was to be.
   * @returns its last record
   * @throws the signal's reason; {AppError} interrupted when the daemon lets go of it first
   */
  async function over(container: Container, signal?: AbortSignal): Promise<Container> {
    const live = lives.get(container.id) ?? (isLive(container) ? begin(container.id) : undefined)
    if (!live) return container
    const last = await untilAborted(live.work, signal)
    if (!last && shutdown.signal.aborted)
      throw new AppError('interrupted', `Cannot wait for container "${container.name}": the server is stopping`)
    return last ?? container
  }

  /** By name, id, or first digits of an id. @throws {AppError} not_found, invalid when several fit */
  async function find(reference: string): Promise<Container> {
    const all = await store.list()
    const exact = all.find((container) => container.id === reference || container.name === reference)
    if (exact) return exact
    const begun = /^[0-9a-f]+$/.test(reference) ? all.filter((container) => container.id.startsWith(reference)) : []
    if (begun.length > 1)
      throw new AppError('invalid', `Cannot tell which container "${reference}" is: ${begun.length} ids begin so`)
    if (!begun[0]) throw new AppError('not_found', `Cannot find container "${reference}": no such container`)
    return begun[0]
  }

  async function findLive(
    reference: string,
    doing: string,
  ): Promise<{ container: Container; live: Live; prepared: PreparedContainer }> {
    const container = await find(reference)
    if (container.state !== 'running')
      throw new AppError(
        'conflict',
        `Cannot ${doing} container "${container.name}": it is ${container.state}, not running`,
      )
    const live = begin(container.id)
    return { container, live, prepared: await lifecycle.preparedOf(live, container) }
  }

  /** Stops: STOPSIGNAL, then KILL, then power off. Returns when the machine is off. */
  async function stop(reference: string, graceSeconds?: number): Promise<Container> {
    const container = await find(reference)
    const patch = { stopBy: 'stop', ...(graceSeconds === undefined ? {} : { graceSeconds }) } as const
    // Also of one that ends by itself just now: it would be started again otherwise, by its restart policy.
    await store.patch(container.id, (seen) =>
      isLive(seen) && (seen.stopBy === undefined || seen.stopBy === 'exit') ? patch : undefined,
    )
    lives.get(container.id)?.poke()
    return over(container)
  }

  /** Ends it without asking the workload. */
  async function end(container: Container): Promise<Container> {
    await store.patch(
      container.id,
      (seen) => (isLive(seen) && seen.stopBy !== 'kill' ? { stopBy: 'kill' } : undefined),
      containerEvent(container, 'kill', 'daemon', { signal: 'KILL' }),
    )
    lives.get(container.id)?.poke()
    return over(container)
  }

  /** Waits until `isDone`, asked again at each event of the container. @returns its record then, undefined when it is gone */
  async function until(
    containerId: string,
    isDone: (container: Container | undefined) => boolean,
    signal?: AbortSignal,
  ): Promise<Container | undefined> {
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const stop = deps.events.listen((event) => void (event.subjectId === containerId && resolve()))
      try {
        const container = await store.byId(containerId)
        if (isDone(container)) return container
        await untilAborted(promise, signal)
      } finally {
        stop()
      }
    }
  }

  /** @throws {AppError} conflict for a container that is over on a machine on which nothing may be started */
  async function refuseClosed(container: Container): Promise<void> {
    if (isLive(container) || container.machineId === undefined) return
    const machine = await deps.machineById(container.machineId)
    const closed = machine && closedBecause(machine)
    if (closed !== undefined)
      throw new AppError(
        'conflict',
        `Cannot restart container "${container.name}": machine "${container.machineName}" ${closed}`,
      )
  }

  return {
    find,
    findLive,
    list: () => store.list(),

    /**
     * Makes a container and begins to run it: a machine is its own from now on.
     * @throws {AppError} exhausted, not_found, invalid, conflict; then nothing was made
     */
    async create(options: RunOptions): Promise<Container> {
      if (options.remove && options.restart !== 'no')
        throw new AppError(
          'invalid',
          'Cannot run with --rm and --restart: a container that is removed cannot be restarted',
        )
      refuseResetAtime(options)
      const at = now()
      const imageArch = options.platform ?? (await archOf(options.image))
      for (let round = 0; ; round++) {
        const taken = new Set((await store.list()).map((container) => container.name))
        const [machine] = await startable(candidates(await deps.machines(), options, imageArch), options)
        const container: Container = {
          id: randomBytes(32).toString('hex'),
          name: options.name ?? makeName(deps.random, (name) => taken.has(name)),
          image: options.image,
          state: 'preparing',
          machineId: machine!.id,
          machineName: machine!.name,
          command: options.command,
          options,
          restartCount: 0,
          createdAt: at,
          stagedAt: at,
          deadlineAt: at + options.timeoutSeconds * 1000,
        }
        try {
          await store.insert(container, containerEvent(container, 'create', 'daemon'))
          begin(container.id)
          return container
        } catch (error) {
          if (round >= MAX_ROUNDS || !isLateBy(error, options)) throw error
        }
      }
    },

    stop,

    /**
     * Sends a signal to the workload; KILL, or any signal to a machine that is not up, ends the container. As under docker, one
     * that was killed so is not started again by its restart policy.
     * @throws {AppError} conflict when it is not live; unreachable, bad_peer when the signal did not arrive
     */
    async kill(reference: string, signal: string): Promise<Container> {
      const container = await find(reference)
      if (!isLive(container))
        throw new AppError(
          'conflict',
          `Cannot kill container "${container.name}": it is ${container.state}, not running`,
        )
      if (signal === 'KILL' || signal === '9' || container.state !== 'running') return end(container)
      await deps.agent.command(begin(container.id), ['signal', signal])
      // An event of its own, beside no change: what the signal does to the workload is the workload's affair.
      await store.patch(container.id, {}, containerEvent(container, 'kill', 'daemon', { signal }))
      return container
    },

    /** Stops where it runs, and boots again on the same machine with the same options. */
    async restart(reference: string, graceSeconds?: number): Promise<Container> {
      await refuseClosed(await find(reference))
      const container = await stop(reference, graceSeconds)
      if (container.machineId === undefined)
        throw new AppError(
          'conflict',
          `Cannot restart container "${container.name}": machine "${container.machineName}" was removed; run it anew`,
        )
      const outputFrom = await lifecycle.sizesOf(container.id)
      logs.reopen(container.id)
      const again = await store.transition(
        container.id,
        'restart',
        (seen) => ({ ...clearedForBoot(seen, now(), outputFrom), restartCount: 0 }),
        containerEvent(container, 'restart', 'daemon'),
      )
      if (!again) {
        const seen = await store.byId(container.id)
        const why = seen ? `it is ${seen.state} already` : 'it was removed when it had ended'
        throw new AppError('conflict', `Cannot restart container "${container.name}": ${why}`)
      }
      begin(again.id)
      return again
    },

    async rename(reference: string, name: string): Promise<Container> {
      const container = await find(reference)
      const event = containerEvent({ ...container, name }, 'rename', 'daemon', { oldName: container.name })
      return (await store.patch(container.id, { name }, event)) ?? container
    },

    /** @throws {AppError} conflict while it is live and `force` is not set */
    async remove(reference: string, force: boolean): Promise<Container> {
      const found = await find(reference)
      const container = force ? await end(found) : found
      if (await store.byId(container.id))
        await store.remove(container.id, containerEvent(container, 'destroy', 'daemon'))
      await logs.remove(container.id)
      await deps.nfs.remove(container.id)
      return container
    },

    /** Waits until the container has exited or failed. @returns its last record, also of one that is removed by then */
    wait: async (reference: string, signal?: AbortSignal): Promise<Container> => over(await find(reference), signal),

    /** What machines report, for the boot service. */
    reports: { ...reports, facts: deps.learn } satisfies BootReports,

    /** The prepared container, for serving its files; undefined while it is being made ready. */
    async preparedOf(container: Container): Promise<PreparedContainer | undefined> {
      if (container.state === 'created' || container.state === 'preparing') return undefined
      return lifecycle.preparedOf(begin(container.id), container)
    },

    /** Takes up every live container of an earlier daemon, and removes those that it could not remove any more. */
    async resume(): Promise<void> {
      for (const container of await store.list()) {
        if (isLive(container)) begin(container.id)
        else await ended(container)
      }
    },

    /** Waits until it shows which kind of workload the container has. @returns its record then, undefined when it is gone */
    async whenPrepared(reference: string, signal?: AbortSignal): Promise<Container | undefined> {
      const { id } = await find(reference)
      return until(id, (container) => container?.mode !== undefined || !isComing(container), signal)
    },

    /** Waits until the container's workload can be spoken to. @throws {AppError} conflict when it ended before that */
    async whenRunning(reference: string, signal?: AbortSignal): Promise<void> {
      const { id } = await find(reference)
      const seen = await until(id, (container) => container?.state === 'running' || !isComing(container), signal)
      if (seen?.state !== 'running')
        throw new AppError('conflict', `Cannot speak to container "${seen?.name ?? reference}": it is not running`)
    },

    /** The containers that were made of an image. */
    async usersOf(imageId: string): Promise<{ name: string; isLive: boolean }[]> {
      const users = (await store.list()).filter((container) => container.imageId === imageId)
      return users.map((container) => ({ name: container.name, isLive: isLive(container) }))
    },

    /** Lets go of all containers; they stay as they are. */
    async [Symbol.asyncDispose](): Promise<void> {
      const works = [...lives.values()].map((live) => live.work)
      shutdown.abort()
      await Promise.all(works)
    },
  }

  /** Those that can be started so. @throws {AppError} unsupported, saying what the BMC of the first can do */
  async function startable(machines: readonly StoredMachine[], { via, image }: RunOptions): Promise<StoredMachine[]> {
    if (via === 'network') return [...machines]
    const able: StoredMachine[] = []
    for (const machine of machines) if ((await deps.power.portOf(machine)).can.has('media')) able.push(machine)
    if (able.length > 0) return able
    const { can } = await deps.power.portOf(machines[0]!)
    throw new AppError(
      'unsupported',
      `Cannot run "${image}" on "${machines[0]!.name}" from a medium: its BMC can only ${[...can].join(', ')}`,
    )
  }

  async function archOf(image: string): Promise<string | undefined> {
    try {
      return (await deps.images.inspect(image)).platform.architecture
    } catch {
      return undefined
    }
  }
}

/** Whether a container is on its way to `running`. */
function isComing(container: Container | undefined): boolean {
  return container !== undefined && ['created', 'preparing', 'powering', 'booting'].includes(container.state)
}

/** True when somebody else took the machine, or a name that nobody chose: the next one may be free. */
function isLateBy(error: unknown, options: RunOptions): boolean {
  if (!(error instanceof AppError)) return false
  return error.code === 'exhausted' || (error.code === 'conflict' && options.name === undefined)
}
