/**
 * Serial consoles. One session with the BMC for each machine: it is recorded, watched for a panic, and shared by those who
 * look at it. It is held as long as somebody looks, a container runs, or the machine was switched on to be recorded.
 */
import type { Now } from '../../base/clock.ts'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { LogStore } from '../containers/ports.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { BmcPort } from '../power/power-port.ts'
import type { ConsoleView, ViewOptions } from './ports.ts'
import { createRecorder, type Recorder } from './recorder.ts'
import { CONSOLE_PATIENCE, isConflict, startSession, type ConsolePatience, type ConsoleSession } from './session.ts'
import { createViewers, type Viewers } from './viewers.ts'

export interface ConsoleDeps {
  readonly log: Log
  readonly logs: LogStore
  readonly portOf: (machine: StoredMachine) => Promise<BmcPort>
  readonly now: Now
  readonly patience?: Partial<ConsolePatience>
}

type OnLine = (line: string) => void

interface Hub {
  /** As it was known last: its BMC may have moved. */
  machine: StoredMachine
  readonly session: ConsoleSession
  readonly recorder: Recorder
  readonly viewers: Viewers
  readonly watchers: Set<OnLine>
  /** Recorded for its own sake. */
  isKept: boolean
  /** Aborts when there is nothing more to see. */
  readonly over: AbortController
}

const MAX_LINE = 4096

export type ConsoleService = ReturnType<typeof createConsole>

export function createConsole({ log, logs, portOf, now, patience: given }: ConsoleDeps) {
  const patience = { ...CONSOLE_PATIENCE, ...given }
  const hubs = new Map<string, Hub>()
  /** Sessions that are being closed, by machine: the next one waits for them. */
  const ending = new Map<string, Promise<void>>()

  /** The hub of a machine. @param take the console from another session of the BMC, where it has none */
  function hubOf(machine: StoredMachine, take: boolean): Hub {
    const known = hubs.get(machine.id)
    if (known) {
      known.machine = machine
      known.session.hurry(take)
      return known
    }
    const viewers = createViewers(machine.name, now)
    const recorder = createRecorder({ logs, log: log.with({ machine: machine.name }) }, machine.id)
    const watchers = new Set<OnLine>()
    let pending = ''
    const session = startSession(
      {
        log: log.with({ machine: machine.name }),
        now,
        patience,
        async open(options) {
          const port = await portOf(hub.machine)
          if (!port.console) throw noConsole(hub.machine, port)
          return port.console(options)
        },
        async onOutput(bytes) {
          viewers.show(bytes)
          pending = tellLines(pending + Buffer.from(bytes).toString('latin1'), watchers)
          await recorder.add(bytes)
        },
        onNews(text) {
          recorder.note(text)
          viewers.tellAll(text)
        },
      },
      take,
      ending.get(machine.id),
    )
    const hub: Hub = { machine, session, recorder, viewers, watchers, isKept: false, over: new AbortController() }
    hubs.set(machine.id, hub)
    return hub
  }

  async function end(hub: Hub): Promise<void> {
    const { id } = hub.machine
    if (hubs.get(id) === hub) hubs.delete(id)
    hub.over.abort()
    const work = hub.session.end().then(() => hub.recorder.drained())
    ending.set(id, work)
    try {
      await work
    } finally {
      if (ending.get(id) === work) ending.delete(id)
    }
  }

  async function endUnused(hub: Hub): Promise<void> {
    if (hub.watchers.size === 0 && hub.viewers.size === 0 && !hub.isKept) await end(hub)
  }

  return {
    /**
     * Records a machine's console for a container until the returned function is called. The machine is the container's, and so
     * is its console, whoever has it. A BMC without a console is silently left alone.
     * @param onLine called with each line that the machine prints
     */
    async record(machine: StoredMachine, containerId: string, onLine: OnLine): Promise<() => Promise<void>> {
      const port = await portOf(machine)
      if (!port.console) return () => Promise.resolve()
      const hub = hubOf(machine, true)
      hub.recorder.alsoTo(containerId)
      hub.watchers.add(onLine)
      return async () => {
        await hub.recorder.endIn(containerId)
        hub.watchers.delete(onLine)
        await endUnused(hub)
      }
    },

    /** Records a machine's console for its own sake until `release`; taken from nobody. Without a console nothing happens. */
    async keep(machine: StoredMachine): Promise<void> {
      const port = await portOf(machine)
      if (port.console) hubOf(machine, false).isKept = true
    },

    /** Ends what `keep` has begun. Does not wait for the BMC. */
    release(machineId: string): void {
      const hub = hubs.get(machineId)
      if (!hub) return
      hub.isKept = false
      endUnused(hub).catch((error: unknown) => log.debug('console not closed well', { machineId, why: explain(error) }))
    },

    /**
     * Looks at a machine's console, and types; resolves when it is open.
     * @throws {AppError} unsupported when its BMC has none; conflict when another session of the BMC has it and `takeOver` is not
     * set; exhausted when too many look; what its BMC says
     */
    async view(machine: StoredMachine, options: ViewOptions, signal: AbortSignal): Promise<ConsoleView> {
      const port = await portOf(machine)
      if (!port.console) throw noConsole(machine, port)
      const hub = hubOf(machine, options.takeOver)
      const { session, viewers } = hub
      const viewer = viewers.join(options)
      const leave = async (): Promise<void> => {
        viewers.leave(viewer)
        await endUnused(hub)
      }
      try {
        await session.whenOpen(signal).catch((error: unknown) => {
          // The try that was under way did not know yet that it may take the console.
          if (!options.takeOver || !isConflict(error)) throw error
          return session.whenOpen(signal)
        })
      } catch (cause) {
        await leave()
        if (isConflict(cause))
          throw new AppError(
            'conflict',
            `Cannot open the console of "${machine.name}": another session of its BMC has it; take it over with --take-over`,
            { cause },
          )
        throw cause
      }
      const act = async (what: string, work: () => Promise<string | undefined>): Promise<void> => {
        if (!viewers.mayWrite(viewer)) return
        const why = await work()
        if (why !== undefined) viewer.tell(`${what} not sent: ${why}`)
      }
      return {
        events: viewer.events(AbortSignal.any([signal, hub.over.signal])),
        write: (bytes) => act(`${bytes.length} bytes`, () => session.use((console) => console.write(bytes))),
        sendBreak: () => act('break', () => session.use((console) => console.sendBreak())),
        takeOver: () => viewers.takeOver(viewer),
        [Symbol.asyncDispose]: leave,
      }
    },

    /** Ends everything about a machine that is no more. */
    async forget(machineId: string): Promise<void> {
      const hub = hubs.get(machineId)
      if (hub) await end(hub)
    },

    async [Symbol.asyncDispose](): Promise<void> {
      await Promise.all([...hubs.values()].map(end))
    },
  }
}

function noConsole(machine: StoredMachine, { can }: BmcPort): AppError {
  const offered = [...can].join(', ')
  return new AppError(
    'unsupported',
    `Cannot open the console of "${machine.name}": its BMC, as its URL says, has ${offered === '' ? 'nothing' : `only ${offered}`}; IPMI and Redfish have consoles`,
  )
}

/** Tells the whole lines of `text` and returns what is left. */
function tellLines(text: string, watchers: ReadonlySet<OnLine>): string {
  const lines = text.split(/\r?\n/)
  const rest = lines.pop()!
  for (const line of lines) for (const watcher of watchers) watcher(line)
  return rest.slice(-MAX_LINE)
}
