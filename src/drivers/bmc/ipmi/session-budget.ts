import { AppError } from '../../../base/errors.ts'

/** The share of all sessions that may last: those of consoles, which nobody can make close. */
const LASTING_SHARE = 3 / 4

/**
 * How many BMC sessions, each a socket, a process holds at once. When all are held, whoever wants one makes the longest idle session
 * close, and waits its turn. Some are always left for commands, however many consoles there are.
 */
export class SessionBudget {
  readonly #max: number
  readonly #maxLasting: number
  #held = 0
  #lasting = 0
  /** Closes an idle session; oldest first. */
  readonly #idle = new Set<() => void>()
  readonly #waiting = new Set<() => void>()

  constructor(max: number) {
    this.#max = max
    this.#maxLasting = Math.max(1, Math.floor(max * LASTING_SHARE))
  }

  /**
   * A place for as long as its holder likes.
   * @returns gives it back; a second call does nothing
   * @throws {AppError} `exhausted` when too many last already; and as `acquire`
   */
  async hold(signal?: AbortSignal): Promise<() => void> {
    if (this.#lasting >= this.#maxLasting)
      throw new AppError('exhausted', `Cannot open another console: ${this.#lasting} are open; close some`)
    this.#lasting++
    let isHeld = true
    try {
      await this.acquire(signal)
    } catch (error) {
      this.#lasting--
      throw error
    }
    return () => {
      if (!isHeld) return
      isHeld = false
      this.#lasting--
      this.release()
    }
  }

  get held(): number {
    return this.#held
  }

  /** Resolves when a session may be opened; `release` must follow. Rejects with the signal's reason. */
  async acquire(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (this.#held < this.#max) {
      this.#held++
      return
    }
    await new Promise<void>((resolve, reject) => {
      const enter = () => {
        signal?.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        this.#waiting.delete(enter)
        reject(signal!.reason as Error)
      }
      this.#waiting.add(enter)
      signal?.addEventListener('abort', leave, { once: true })
      this.#evictOne()
    })
  }

  /** A session is closed; the place goes to who waits longest. */
  release(): void {
    const [next] = this.#waiting
    if (!next) {
      this.#held--
      return
    }
    this.#waiting.delete(next)
    next()
  }

  /** Nobody uses the session now: `close` may be called to make room, once. It must end in `release`. */
  offer(close: () => void): void {
    this.#idle.add(close)
    if (this.#waiting.size > 0) this.#evictOne()
  }

  /** The session is used again, or closed by its owner. */
  withdraw(close: () => void): void {
    this.#idle.delete(close)
  }

  #evictOne(): void {
    const [close] = this.#idle
    if (!close) return
    this.#idle.delete(close)
    close()
  }
}
