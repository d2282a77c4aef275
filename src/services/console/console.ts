/**
 * Serial consoles. One session with the BMC for each machine: it is recorded, watched for a panic, and shared by those who
 * look at it. A BMC that drops the session is asked again.
 */
import { sleep } from '../../base/clock.ts'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { LogStore } from '../containers/ports.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { BmcConsole, BmcPort } from '../power/power-port.ts'

export interface ConsoleDeps {
  readonly log: Log
  readonly logs: LogStore
  readonly portOf: (machine: StoredMachine) => Promise<BmcPort>
}

export interface ConsoleView extends AsyncDisposable {
  readonly output: AsyncIterable<Uint8Array>
  write(bytes: Uint8Array): Promise<void>
}

type OnLine = (line: string) => void

interface Hub {
  readonly stop: AbortController
  readonly viewers: Set<(bytes: Uint8Array) => void>
  /** Where the console is recorded: the machine's own log, and its container's while it has one. */
  readonly logIds: Set<string>
  readonly watchers: Set<OnLine>
  console: BmcConsole | undefined
  work: Promise<void>
  /** What comes cannot be stored just now. */
  isLosing: boolean
}

const RECONNECT_MS = 2000
const MAX_LINE = 4096
/** So much may wait for a viewer that is slow. */
const MAX_WAITING_BYTES = 1 << 20

export type ConsoleService = ReturnType<typeof createConsole>

export function createConsole({ log, logs, portOf }: ConsoleDeps) {
  const hubs = new Map<string, Hub>()

  function hubOf(machine: StoredMachine, port: BmcPort): Hub {
    const known = hubs.get(machine.id)
    if (known) return known
    const hub: Hub = {
      stop: new AbortController(),
      viewers: new Set(),
      logIds: new Set([machine.id]),
      watchers: new Set(),
      console: undefined,
      work: Promise.resolve(),
      isLosing: false,
    }
    hubs.set(machine.id, hub)
    hub.work = record(hub, machine, port)
    return hub
  }

  /** Stores output; a disk that is full costs the recording its bytes, said once, and the viewers nothing. */
  async function keep(hub: Hub, machine: StoredMachine, id: string, bytes: Uint8Array): Promise<void> {
    try {
      await logs.append(id, 'console', await logs.size(id, 'console'), bytes)
      hub.isLosing = false
    } catch (error) {
      if (!hub.isLosing) log.warn('console output not stored', { machine: machine.name, why: explain(error) })
      hub.isLosing = true
    }
  }

  async function record(hub: Hub, machine: StoredMachine, port: BmcPort): Promise<void> {
    const { signal } = hub.stop
    let pending = ''
    while (!signal.aborted) {
      try {
        await using console = await port.console!({ takeOver: true, signal })
        hub.console = console
        for await (const bytes of console) {
          for (const id of hub.logIds) await keep(hub, machine, id, bytes)
          for (const viewer of hub.viewers) viewer(bytes)
          pending = tellLines(pending + Buffer.from(bytes).toString('latin1'), hub.watchers)
        }
      } catch (error) {
        if (signal.aborted) break
        log.debug('console session ended', { machine: machine.name, why: explain(error) })
      } finally {
        hub.console = undefined
      }
      await sleep(RECONNECT_MS, signal).catch(() => {})
    }
  }

  async function release(machineId: string, hub: Hub): Promise<void> {
    hubs.delete(machineId)
    hub.stop.abort()
    // Ends the iteration over its output, which the signal alone does not.
    await hub.console?.[Symbol.asyncDispose]()
    await hub.work
  }

  return {
    /**
     * Records a machine's console for a container until the returned function is called. A BMC without a console is
     * silently left alone.
     * @param onLine called with each line that the machine prints
     */
    async record(machine: StoredMachine, containerId: string, onLine: OnLine): Promise<() => Promise<void>> {
      const port = await portOf(machine)
      if (!port.console) return () => Promise.resolve()
      const hub = hubOf(machine, port)
      hub.logIds.add(containerId)
      hub.watchers.add(onLine)
      return async () => {
        hub.logIds.delete(containerId)
        hub.watchers.delete(onLine)
        if (hub.watchers.size === 0 && hub.viewers.size === 0) await release(machine.id, hub)
      }
    },

    /** Looks at a machine's console, and types. @throws {AppError} unsupported when its BMC has none */
    async view(machine: StoredMachine, signal: AbortSignal): Promise<ConsoleView> {
      const port = await portOf(machine)
      if (!port.console)
        throw new AppError('unsupported', `Cannot open the console of "${machine.name}": its BMC offers none`)
      const hub = hubOf(machine, port)
      const queue: Uint8Array[] = []
      let news = Promise.withResolvers<void>()
      let waitingBytes = 0
      const viewer = (bytes: Uint8Array): void => {
        queue.push(bytes)
        waitingBytes += bytes.length
        // Who does not read loses the oldest: a console goes on by itself.
        while (waitingBytes > MAX_WAITING_BYTES) waitingBytes -= queue.shift()!.length
        news.resolve()
      }
      hub.viewers.add(viewer)
      signal.addEventListener('abort', () => news.resolve(), { once: true })
      return {
        output: (async function* () {
          while (!signal.aborted) {
            for (let bytes = queue.shift(); bytes; bytes = queue.shift()) {
              waitingBytes -= bytes.length
              yield bytes
            }
            if (queue.length === 0) await news.promise
            news = Promise.withResolvers<void>()
          }
        })(),
        async write(bytes) {
          if (!hub.console)
            throw new AppError(
              'unreachable',
              `Cannot type on the console of "${machine.name}": its BMC is not connected`,
            )
          await hub.console.write(bytes)
        },
        async [Symbol.asyncDispose]() {
          hub.viewers.delete(viewer)
          if (hub.watchers.size === 0 && hub.viewers.size === 0) await release(machine.id, hub)
        },
      }
    },

    async [Symbol.asyncDispose](): Promise<void> {
      await Promise.all([...hubs].map(([machineId, hub]) => release(machineId, hub)))
    },
  }
}

/** Tells the whole lines of `text` and returns what is left. */
function tellLines(text: string, watchers: ReadonlySet<OnLine>): string {
  const lines = text.split(/\r?\n/)
  const rest = lines.pop()!
  for (const line of lines) for (const watcher of watchers) watcher(line)
  return rest.slice(-MAX_LINE)
}
