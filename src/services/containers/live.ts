/** What the daemon holds in memory of a live container: who works on it, and how others wake that work. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Container } from '../../model/container.ts'
import type { GuestSession } from './ports.ts'
import type { PreparedContainer } from './prepare.ts'

export class Live {
  readonly containerId: string
  /** Aborts when the daemon lets go of the container, without ending it. */
  readonly signal: AbortSignal
  prepared: Promise<PreparedContainer> | undefined
  session: GuestSession | undefined
  /** Resolves when the work has ended, with the record that it ended with; undefined when the daemon let go of it. */
  work: Promise<Container | undefined> = Promise.resolve(undefined)
  #news = Promise.withResolvers<void>()

  constructor(containerId: string, signal: AbortSignal) {
    this.containerId = containerId
    this.signal = signal
  }

  /** Says that the stored record has changed. */
  poke(): void {
    const news = this.#news
    this.#news = Promise.withResolvers<void>()
    news.resolve()
  }

  /** A promise of the next `poke`. Take it before reading the record, so that no change is missed. */
  get news(): Promise<void> {
    return this.#news.promise
  }

  /** Waits for `news`, but no longer than `ms` milliseconds. @throws the signal's reason when it aborts */
  async waitFor(news: Promise<void>, ms: number): Promise<void> {
    const timer = new AbortController()
    const signal = AbortSignal.any([this.signal, timer.signal])
    try {
      await Promise.race([news, delay(ms, undefined, { signal })])
    } finally {
      timer.abort()
    }
    this.signal.throwIfAborted()
  }
}
