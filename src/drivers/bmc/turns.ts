import { AppError } from '../../base/errors.ts'

/** Does one thing after the other. `address` is for the message of a refusal. */
export class Turns {
  readonly #address: string
  readonly #maxWaiting: number
  #waiting = 0
  #isClosed = false
  #tail: Promise<unknown> = Promise.resolve()

  constructor(address: string, maxWaiting: number) {
    this.#address = address
    this.#maxWaiting = maxWaiting
  }

  /**
   * Runs `work` after all that was asked before. An aborted signal takes it out of the queue at once.
   * @throws {AppError} `busy` when `maxWaiting` wait already
   */
  async take<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    if (this.#isClosed) throw new AppError('interrupted', `Cannot ask BMC "${this.#address}": it is being closed`)
    if (this.#waiting >= this.#maxWaiting)
      throw new AppError(
        'busy',
        `Cannot ask BMC "${this.#address}": ${this.#waiting} commands wait for it already; try later`,
      )
    this.#waiting++
    const before = this.#tail
    const { promise: mine, resolve: done } = Promise.withResolvers<void>()
    this.#tail = before.then(() => mine)
    try {
      await untilAborted(before, signal)
      if (this.#isClosed) throw new AppError('interrupted', `Cannot ask BMC "${this.#address}": it is being closed`)
      return await work()
    } finally {
      this.#waiting--
      done()
    }
  }

  /** Refuses all that waits and all that comes, and runs `last` after what is being done now. */
  async close(last: () => Promise<void>): Promise<void> {
    this.#isClosed = true
    await this.#tail
    await last()
  }
}

async function untilAborted(before: Promise<unknown>, signal?: AbortSignal): Promise<void> {
  if (!signal) return void (await before)
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await Promise.race([before, promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
