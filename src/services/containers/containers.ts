/** Containers as people and the API use them: docker's verbs. The life itself is in lifecycle.ts. */
import { randomBytes } from 'node:crypto'
import { AppError, explain } from '../../base/errors.ts'
import type { Container, RunOptions } from '../../model/container.ts'
import { LIVE } from '../../model/container.ts'
import type { BootReports } from '../boot/boot.ts'
import type { EventBus } from '../ports.ts'
import type { StoredMachine } from '../machines/ports.ts'
import { clearedForBoot, containerEvent, createLifecycle, type LifecycleDeps } from './lifecycle.ts'
import { Live } from './live.ts'
import { makeName } from './names.ts'
import { candidates } from './place.ts'
import type { PreparedContainer } from './prepare.ts'

export interface ContainersDeps extends LifecycleDeps {
  readonly events: EventBus
  readonly machines: () => Promise<StoredMachine[]>
  readonly learn: BootReports['facts']
  readonly random: () => number
}

export type ContainersService = ReturnType<typeof createContainers>

export function createContainers(deps: ContainersDeps) {
  const { store, log, events, logs, now } = deps
  const lifecycle = createLifecycle(deps)
  const lives = new Map<string, Live>()
  const shutdown = new AbortController()

  /** Starts driving a container, unless somebody does already. */
  function begin(containerId: string): Live {
    const known = lives.get(containerId)
    if (known) return known
    const live = new Live(containerId, shutdown.signal)
    lives.set(containerId, live)
    live.work = work(live)
    return live
  }

  async function work(live: Live): Promise<void> {
    try {
      await lifecycle.drive(live)
    } catch (error) {
      log.error('container no longer driven', { containerId: live.containerId, error: explain(error) })
    }
    lives.delete(live.containerId)
    if (!shutdown.signal.aborted) await ended(live.containerId)
  }

  /** What follows an end: `--rm`, and the events' last word for those who wait. */
  async function ended(containerId: string): Promise<void> {
    const container = await store.byId(containerId)
    if (!container?.options.remove || LIVE.includes(container.state)) return
    await store.remove(
      containerId,
      containerEvent(container, 'destroy', 'daemon', { exitCode: String(container.exitCode ?? '') }),
    )
    await logs.remove(containerId)
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

  /** Waits until `isDone`, woken by each event of the container. */
  async function until(
    containerId: string,
    isDone: (container: Container | undefined) => boolean,
    signal?: AbortSignal,
  ): Promise<Container | undefined> {
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const stop = events.listen((event) => {
        if (event.subjectId === containerId) resolve()
      })
      signal?.addEventListener('abort', () => resolve(), { once: true })
      try {
        const container = await store.byId(containerId)
        if (isDone(container)) return container
        if (signal?.aborted) throw signal.reason
        await promise
      } finally {
        stop()
      }
    }
  }

  /** Stops: STOPSIGNAL, then KILL, then power off. Returns when the machine is off. */
  async function stop(reference: string, graceSeconds?: number): Promise<Container> {
    const container = await find(reference)
    if (!LIVE.includes(container.state)) return container
    if (container.state !== 'stopping')
      await store.patch(container.id, { stopBy: 'stop', ...(graceSeconds === undefined ? {} : { graceSeconds }) })
    begin(container.id).poke()
    return (await until(container.id, (seen) => !seen || !LIVE.includes(seen.state))) ?? container
  }

  return {
    find,
    findLive,
    begin,
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
      const at = now()
      const taken = new Set((await store.list()).map((container) => container.name))
      const imageArch = options.platform ?? (await archOf(options.image))
      const container: Container = {
        id: randomBytes(32).toString('hex'),
        name: options.name ?? makeName(deps.random, (name) => taken.has(name)),
        image: options.image,
        state: 'created',
        command: options.command,
        options,
        restartCount: 0,
        createdAt: at,
        stagedAt: at,
        deadlineAt: at + options.timeoutSeconds * 1000,
      }
      for (let round = 0; ; round++) {
        const [machine] = candidates(await deps.machines(), options, imageArch)
        const placed = { ...container, state: 'preparing' as const, machineId: machine!.id, machineName: machine!.name }
        try {
          await store.insert(placed, containerEvent(placed, 'create', 'daemon'))
          begin(placed.id)
          return placed
        } catch (error) {
          // Another run took the machine between the choice and the insert; the next one may be free.
          if (!(error instanceof AppError && error.code === 'exhausted') || round >= 100) throw error
        }
      }
    },

    stop,

    /** Sends a signal to the workload; KILL, or any signal to a machine that is not up, ends the container. */
    async kill(reference: string, signal: string): Promise<Container> {
      const container = await find(reference)
      if (!LIVE.includes(container.state))
        throw new AppError(
          'conflict',
          `Cannot kill container "${container.name}": it is ${container.state}, not running`,
        )
      const live = begin(container.id)
      if (container.state === 'running' && !(signal === 'KILL' && container.mode === 'os')) {
        const isSent = await deps.agent.command(live, ['signal', signal]).then(
          () => true,
          () => false,
        )
        if (isSent) return container
      }
      await store.patch(container.id, { stopBy: 'kill', exitCode: 137 })
      live.poke()
      return (await until(container.id, (seen) => !seen || !LIVE.includes(seen.state))) ?? container
    },

    /** Stops where it runs, and boots again on the same machine with the same options. */
    async restart(reference: string, graceSeconds?: number): Promise<Container> {
      const container = await stop(reference, graceSeconds)
      await lives.get(container.id)?.work
      const at = now()
      logs.reopen(container.id)
      const again = await store.transition(
        container.id,
        'restart',
        { ...clearedForBoot(container, at), restartCount: 0 },
        containerEvent(container, 'restart', 'daemon'),
      )
      if (!again)
        throw new AppError('conflict', `Cannot restart container "${container.name}": it is ${container.state}`)
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
      let container = await find(reference)
      if (force && LIVE.includes(container.state)) {
        await store.patch(container.id, { stopBy: 'kill', exitCode: container.exitCode ?? 137 })
        begin(container.id).poke()
        container = (await until(container.id, (seen) => !seen || !LIVE.includes(seen.state))) ?? container
        await lives.get(container.id)?.work
      }
      if (await store.byId(container.id))
        await store.remove(container.id, containerEvent(container, 'destroy', 'daemon'))
      await logs.remove(container.id)
      return container
    },

    /** Waits until the container has exited or failed. @returns its last record, also of one that is removed by then */
    async wait(reference: string, signal?: AbortSignal): Promise<Container> {
      let last = await find(reference)
      await until(
        last.id,
        (seen) => {
          last = seen ?? last
          return !seen || seen.state === 'exited' || seen.state === 'failed'
        },
        signal,
      )
      return last
    },

    /** What machines report, for the boot service. */
    reports: {
      stage: async (containerId, stage, source, attributes = {}) =>
        lifecycle.stage(begin(containerId), stage, source, attributes),
      failed: async (containerId, stage, cause) => lifecycle.failed(begin(containerId), stage, cause),
      exit: async (containerId, exitCode) => lifecycle.exit(begin(containerId), exitCode),
      facts: (machineId, facts) => deps.learn(machineId, facts),
    } satisfies BootReports,

    /** The prepared container, for serving its files; undefined while it is being made ready. */
    async preparedOf(container: Container): Promise<PreparedContainer | undefined> {
      if (container.state === 'created' || container.state === 'preparing') return undefined
      return lifecycle.preparedOf(begin(container.id), container)
    },

    /** Takes up every live container of an earlier daemon. */
    async resume(): Promise<void> {
      for (const container of await store.list()) if (LIVE.includes(container.state)) begin(container.id)
    },

    /** The containers that were made of an image. */
    async usersOf(imageId: string): Promise<{ name: string; isLive: boolean }[]> {
      const users = (await store.list()).filter((container) => container.imageId === imageId)
      return users.map(({ name, state }) => ({ name, isLive: LIVE.includes(state) }))
    },

    /** Lets go of all containers; they stay as they are. */
    async [Symbol.asyncDispose](): Promise<void> {
      const works = [...lives.values()].map((live) => live.work)
      shutdown.abort()
      await Promise.all(works)
    },
  }

  async function archOf(image: string): Promise<string | undefined> {
    try {
      return (await deps.images.inspect(image)).platform.architecture
    } catch {
      return undefined
    }
  }
}
