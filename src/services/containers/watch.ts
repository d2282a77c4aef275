/** What runs beside the loop of a container while its machine is on: the recording of its console, the collecting of its output. */
import { explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Container } from '../../model/container.ts'
import type { ConsoleService } from '../console/console.ts'
import { fatalCause } from '../console/panic.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { Agent, OutputStream } from './agent.ts'
import type { Live } from './live.ts'

export interface WatchDeps {
  readonly log: Log
  readonly console: ConsoleService
  readonly agent: Agent
  /** Takes down that the console shows the end of the boot. */
  readonly failed: (containerId: string, cause: string) => Promise<void>
}

/** How long the end of a recording may take: a BMC that does not let go must not hold the container. */
const STOP_MS = 5000

export type Watch = ReturnType<typeof createWatch>

export function createWatch({ log, console, agent, failed }: WatchDeps, live: Live) {
  let stopRecording: (() => Promise<void>) | undefined
  let output: { readonly over: AbortController; readonly done: Promise<void> } | undefined

  async function endRecording(): Promise<void> {
    const stop = stopRecording
    stopRecording = undefined
    if (!stop) return
    const stopped = stop().catch((error: unknown) =>
      log.debug('recording not ended well', { containerId: live.containerId, why: explain(error) }),
    )
    await within(stopped, STOP_MS)
  }

  return {
    /** Records the machine's console from now on. It is opened beside: nothing waits for it, and without one the container goes on. */
    async record(machine: StoredMachine): Promise<void> {
      stopRecording ??= await console.record(machine, live.containerId, (line) => {
        const cause = fatalCause(line)
        if (cause === undefined) return
        failed(live.containerId, cause).catch((error: unknown) =>
          log.error('console cause not noted', { containerId: live.containerId, error: explain(error) }),
        )
      })
    },

    /** Collects the workload's output once there can be any. An operating system's is its console. */
    collect(container: Container): void {
      if (output || container.mode !== 'app' || (container.stage !== 'init' && container.stage !== 'running')) return
      const { stdout = 0, stderr = 0 } = container.outputFrom ?? {}
      const streams: OutputStream[] = [{ stream: 'stdout', from: stdout }]
      if (!container.options.tty) streams.push({ stream: 'stderr', from: stderr })
      const over = new AbortController()
      output = { over, done: agent.collect(live, streams, AbortSignal.any([live.signal, over.signal])) }
    },

    isCollecting: (): boolean => output !== undefined,

    /** Waits until the last output has come, but no longer than `ms` milliseconds. @returns false when some may be missing */
    async drained(ms: number): Promise<boolean> {
      const all = output?.done.then(() => true) ?? Promise.resolve(true)
      const isAll = await within(all, ms)
      live.signal.throwIfAborted()
      return isAll ?? false
    },

    /** Leaves the machine: the session with its agent, its output, its console. */
    async end(): Promise<void> {
      output?.over.abort()
      output = undefined
      const { session } = live
      live.session = undefined
      await session?.[Symbol.asyncDispose]()
      await endRecording()
    },
  }
}

/** What a promise yields, or undefined when it takes longer than `ms` milliseconds. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const late = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => late.resolve(undefined), ms)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
