/**
 * The session with one console: kept open, and opened again when the BMC drops it. A console that somebody else has taken is not
 * taken back: it is waited for, until somebody here asks for it.
 */
import { sleep, type Now } from '../../base/clock.ts'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { untilAborted } from '../../base/task.ts'
import type { BmcConsole } from '../power/power-port.ts'

/** Milliseconds. */
export interface ConsolePatience {
  /** The pause before a dropped session is opened again, at first and at most; it doubles. */
  readonly pauseMs: number
  readonly longestPauseMs: number
  /** The pause where the BMC has no console at all: it may be given one. */
  readonly noConsoleMs: number
  /** How long what was typed waits for a session. */
  readonly typedMs: number
}

export const CONSOLE_PATIENCE: ConsolePatience = {
  pauseMs: 2000,
  longestPauseMs: 30_000,
  noConsoleMs: 600_000,
  typedMs: 5000,
}

export interface SessionDeps {
  readonly log: Log
  readonly now: Now
  readonly patience: ConsolePatience
  /** Opens the console now; rejects where it cannot. */
  readonly open: (options: { takeOver: boolean; signal: AbortSignal }) => Promise<BmcConsole>
  /** Takes what came; the session waits for it. */
  readonly onOutput: (bytes: Uint8Array) => Promise<void>
  /** Tells of gaps, once at their beginning and once at their end. */
  readonly onNews: (text: string) => void
}

export type ConsoleSession = ReturnType<typeof startSession>

/**
 * @param mayTake whether the first try may take the console from somebody else
 * @param before the end of an earlier session with the same console
 */
export function startSession(deps: SessionDeps, mayTake: boolean, before: Promise<void> | undefined) {
  const { log, now, patience, open, onOutput, onNews } = deps
  const stop = new AbortController()
  const { signal } = stop
  let session: BmcConsole | undefined
  /** Somebody has asked to take it since the last try began. */
  let isTakeAsked = false
  let kick = new AbortController()
  let attempt = newAttempt()

  const work = run()

  async function run(): Promise<void> {
    await before
    let pauseMs = patience.pauseMs
    let lostAtMs: number | undefined
    while (!signal.aborted) {
      const startedMs = now()
      let hasNone = false
      isTakeAsked = false
      try {
        await using console = await untilAborted(opened(), signal)
        session = console
        // From here on what the BMC calls active is ours.
        mayTake = true
        attempt.resolve()
        if (lostAtMs !== undefined) onNews(`the console is back after ${seconds(now() - lostAtMs)}`)
        lostAtMs = undefined
        for await (const bytes of console) await onOutput(bytes)
        if (!signal.aborted) throw new AppError('unreachable', 'its session has ended')
      } catch (error) {
        if (signal.aborted) break
        const hadIt = session !== undefined
        session = undefined
        if (isConflict(error)) mayTake = isTakeAsked
        hasNone = error instanceof AppError && error.code === 'unsupported'
        log.debug('console session ended', { why: explain(error) })
        if (lostAtMs === undefined)
          onNews(`${hadIt ? 'the console was lost' : 'the console cannot be opened'}: ${explain(error)}`)
        lostAtMs ??= now()
        const failed = attempt
        attempt = newAttempt()
        failed.reject(error)
      } finally {
        session = undefined
      }
      if (now() - startedMs > patience.longestPauseMs) pauseMs = patience.pauseMs
      if (await pause(hasNone ? patience.noConsoleMs : pauseMs)) pauseMs = patience.pauseMs
      else pauseMs = Math.min(pauseMs * 2, patience.longestPauseMs)
    }
    attempt.reject(signal.reason)
  }

  /** One that comes when nobody waits any more is closed. */
  function opened(): Promise<BmcConsole> {
    const opening = open({ takeOver: mayTake, signal })
    opening.then(
      (late) => (signal.aborted ? late[Symbol.asyncDispose]() : undefined),
      () => {},
    )
    return opening
  }

  /** @returns true when somebody asked for the console meanwhile */
  async function pause(ms: number): Promise<boolean> {
    const asked = kick
    await sleep(ms, AbortSignal.any([signal, asked.signal])).catch(() => {})
    kick = new AbortController()
    return asked.signal.aborted
  }

  return {
    /** Tries again now instead of after the pause, where there is no session. @param take from whoever has it */
    hurry(take: boolean): void {
      if (session) return
      if (take) {
        mayTake = true
        isTakeAsked = true
      }
      kick.abort()
    },

    /** Resolves when it is open, or rejects with why the try that is under way, or the next one, has failed. */
    whenOpen: async (by: AbortSignal): Promise<void> => {
      if (!session) await untilAborted(attempt.promise, by)
    },

    /**
     * Does something with the open console; waits a little for one.
     * @returns why it was not done, in words; undefined when it was
     */
    async use(act: (console: BmcConsole) => Promise<void>): Promise<string | undefined> {
      try {
        if (!session) await untilAborted(attempt.promise, AbortSignal.timeout(patience.typedMs))
        if (!session) return 'the BMC is not connected'
        await act(session)
        return undefined
      } catch (error) {
        return error instanceof AppError ? error.message : 'the BMC is not connected'
      }
    },

    async end(): Promise<void> {
      stop.abort()
      // Ends the iteration over its output, which the signal alone does not.
      await session?.[Symbol.asyncDispose]()
      await work
    },
  }
}

function newAttempt(): PromiseWithResolvers<void> {
  const attempt = Promise.withResolvers<void>()
  attempt.promise.catch(() => {})
  return attempt
}

export function isConflict(error: unknown): boolean {
  return error instanceof AppError && error.code === 'conflict'
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
