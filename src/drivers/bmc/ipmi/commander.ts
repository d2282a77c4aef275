/** Commands to one BMC: opens a session when one is needed, keeps it while commands come, closes it when none do. */
import { sleep } from '../../../base/clock.ts'
import { AppError } from '../../../base/errors.ts'
import type { Command } from '../../../wire/ipmi/command.ts'
import { RETRY_WAITS_MS, Silence } from './exchange.ts'
import type { SessionBudget } from './session-budget.ts'
import { openIpmiSession, type IpmiSession, type OpenSession, type SessionOptions } from './session.ts'

/** A session that was used before may be forgotten by a BMC that restarted: a new one is tried after 1.6 s. */
const STALE_WAITS_MS = RETRY_WAITS_MS.slice(0, 4)

/** A session that rests so long in the middle of an operation may go to another BMC: a login costs as much as several commands. */
const REST_MS = 100

/** Pauses after "no session is free", milliseconds. */
const FULL_WAITS_MS = [1000, 2000, 4000]

export interface CommanderOptions extends SessionOptions {
  /** A session without commands is closed after this, milliseconds. BMCs drop it after 60 s (IPMI v2.0 §6.12.15). */
  readonly idleMs: number
  /** Least time between two commands, milliseconds: some BMCs freeze under a series of them. */
  readonly paceMs: number
  /** Pauses after a refusal for want of a free session, milliseconds; default 1, 2 and 4 s. */
  readonly fullWaitsMs?: readonly number[] | undefined
  /** Default: over UDP. */
  readonly open?: OpenSession | undefined
  /** Shared by all BMCs of a process: how many sessions there may be at once. */
  readonly budget?: SessionBudget | undefined
}

/** Not safe for two callers at once: its owner takes turns. */
export class Commander implements AsyncDisposable {
  readonly #options: CommanderOptions
  #session: IpmiSession | undefined
  #idle: NodeJS.Timeout | undefined
  #lastMs = -Infinity

  /** The last session while it closes: a BMC may have room for no second one. */
  #closing: Promise<void> = Promise.resolve()
  readonly #evict = () => {
    clearTimeout(this.#idle)
    void this.#drop()
  }

  constructor(options: CommanderOptions) {
    this.#options = options
  }

  /**
   * @throws {AppError} `unreachable`, and what the handshake throws  @throws {CompletionError} when the BMC declines
   * @throws {Silence} only for a command that must not be sent twice: it may have been done
   */
  async request<Q, A>(command: Command<Q, A>, question: Q, signal?: AbortSignal): Promise<A> {
    clearTimeout(this.#idle)
    this.#options.budget?.withdraw(this.#evict)
    try {
      const hadSession = this.#session?.isActive === true
      try {
        return await this.#requestOnce(command, question, signal, hadSession ? STALE_WAITS_MS : undefined)
      } catch (error) {
        const mayRepeat = error instanceof Silence && (command.isIdempotent || error.isBeforeSending)
        if (!mayRepeat || !hadSession) throw error
        // The BMC may have restarted and forgotten the session: a new one tells.
        return await this.#requestOnce(command, question, signal)
      }
    } catch (error) {
      if (!(error instanceof Silence) || (!command.isIdempotent && !error.isBeforeSending)) throw error
      throw this.#unreachable(error)
    } finally {
      this.#lastMs = performance.now()
      if (this.#session) this.#idle = setTimeout(() => this.rest(), REST_MS)
    }
  }

  /** The operation is over: from now on the session may be closed, by time, or because another BMC needs the place. */
  rest(): void {
    clearTimeout(this.#idle)
    if (!this.#session) return
    this.#idle = setTimeout(this.#evict, this.#options.idleMs)
    this.#options.budget?.offer(this.#evict)
  }

  /** The id of the cipher suite in use, once there is a session. */
  get cipherSuite(): number | undefined {
    return this.#session?.cipherSuite
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#idle)
    await this.#drop()
  }

  async #requestOnce<Q, A>(
    command: Command<Q, A>,
    question: Q,
    signal?: AbortSignal,
    waitsMs?: readonly number[],
  ): Promise<A> {
    const waitMs = this.#lastMs + this.#options.paceMs - performance.now()
    if (waitMs > 0) await sleep(waitMs, signal)
    const session = await this.#open(signal)
    // Raised apart from the command, so that silence while raising is not taken for a command whose answer was lost.
    if (command.privilege === 'operator') await this.#raise(session, signal)
    return session.request(command, question, { signal, ...(waitsMs && command.isIdempotent ? { waitsMs } : {}) })
  }

  async #raise(session: IpmiSession, signal?: AbortSignal): Promise<void> {
    try {
      await session.raise(signal)
    } catch (error) {
      throw error instanceof Silence
        ? new Silence(error.tries, error.isRefused, { isBeforeSending: true, cause: error })
        : error
    }
  }

  async #open(signal?: AbortSignal): Promise<IpmiSession> {
    if (this.#session?.isActive) return this.#session
    await this.#drop()
    await this.#options.budget?.acquire(signal)
    try {
      this.#session = await this.#openPatiently(signal)
      return this.#session
    } catch (error) {
      this.#options.budget?.release()
      if (error instanceof Silence) throw this.#unreachable(error)
      throw error
    }
  }

  /** BMCs have few sessions, and forget those of tools that died after a minute: a place may come free. */
  async #openPatiently(signal?: AbortSignal): Promise<IpmiSession> {
    const open = this.#options.open ?? openIpmiSession
    for (const pauseMs of this.#options.fullWaitsMs ?? FULL_WAITS_MS)
      try {
        return await open(this.#options, signal)
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'exhausted') throw error
        this.#options.log.debug('no session is free on the BMC', { address: this.#options.address, pauseMs })
        await sleep(pauseMs, signal)
      }
    return open(this.#options, signal)
  }

  #drop(): Promise<void> {
    const session = this.#session
    if (!session) return this.#closing
    this.#session = undefined
    const { budget } = this.#options
    budget?.withdraw(this.#evict)
    this.#closing = session[Symbol.asyncDispose]().finally(() => budget?.release())
    return this.#closing
  }

  #unreachable(cause: Silence): AppError {
    const { address } = this.#options
    const help = 'check address, cabling, and that IPMI over LAN is enabled on it'
    return new AppError('unreachable', `Cannot reach BMC "${address}": ${cause.message}; ${help}`, { cause })
  }
}
