/** Everything that runs is a Task; everything that runs together is given to `runTasks`. */

export interface Task {
  readonly name: string
  /**
   * Runs until `signal` aborts, then returns. Calls `ready()` once it accepts work. Throws only when it cannot go on.
   */
  run(signal: AbortSignal, ready: () => void): Promise<void>
}

/**
 * Runs tasks until `signal` aborts or one of them ends or fails; then stops the others and waits for all.
 * @param onReady called once, when every task has said that it is ready
 * @throws {AggregateError} whose parts name the failed tasks and keep the cause
 */
export async function runTasks(tasks: readonly Task[], signal: AbortSignal, onReady: () => void): Promise<void> {
  const stop = new AbortController()
  const all = AbortSignal.any([signal, stop.signal])
  const waiting = new Set(tasks)
  const failures: Error[] = []
  await Promise.all(
    tasks.map(async (task) => {
      try {
        await task.run(all, () => {
          if (waiting.delete(task) && waiting.size === 0) onReady()
        })
      } catch (cause) {
        if (!isAbort(cause, all)) failures.push(new Error(`task "${task.name}" failed`, { cause }))
      } finally {
        stop.abort()
      }
    }),
  )
  if (failures.length > 0) throw new AggregateError(failures, 'Cannot go on')
}

/** True when `error` is only the echo of `signal` having been aborted. */
export function isAbort(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted && error instanceof Error && (error === signal.reason || error.name === 'AbortError')
}

/** Resolves when `signal` aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/**
 * What a promise yields, unless `signal` aborts first; what the promise does later is nobody's business any more.
 * @throws the signal's reason
 */
export async function untilAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return promise
  const { promise: stopped, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason as Error)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, stopped])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
