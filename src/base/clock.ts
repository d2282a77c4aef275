import { setTimeout as delay } from 'node:timers/promises'

/** Milliseconds since the epoch, handed in wherever time decides something. */
export type Now = () => number

/**
 * Waits. Rejects with the signal's AbortError when it aborts first.
 * @param ms milliseconds
 */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, signal ? { signal } : {})
}

/**
 * Asks again and again until `probe` yields something other than undefined.
 * @param everyMs pause between two questions, milliseconds
 * @returns the answer, or undefined once `deadlineMs` milliseconds have passed
 */
export async function poll<T>(
  probe: () => Promise<T | undefined> | T | undefined,
  { everyMs, deadlineMs, signal }: { everyMs: number; deadlineMs: number; signal?: AbortSignal },
): Promise<T | undefined> {
  const endMs = performance.now() + deadlineMs
  for (;;) {
    const answer = await probe()
    if (answer !== undefined) return answer
    if (performance.now() + everyMs > endMs) return undefined
    await sleep(everyMs, signal)
  }
}
