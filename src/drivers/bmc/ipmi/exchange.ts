/** Sends a datagram again, ever more slowly, until something that answers it comes. */
import { WireError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import { parseRmcp } from '../../../wire/rmcp/rmcp.ts'
import { parseSessionPacket, type RmcpPlusPacket } from '../../../wire/ipmi/session-packet.ts'
import type { UdpLink } from './udp-link.ts'

/** Pauses after each try, milliseconds: 7 tries in 6.4 s. Over a link that loses 30 % of packets each way 99 of 100 questions are answered. */
export const RETRY_WAITS_MS: readonly number[] = [200, 300, 450, 675, 1000, 1500, 2250]
/** How often the other side may say "nobody listens here" before we believe it. */
const MAX_REFUSALS = 2

/** Nothing that answers came in time, or the port is closed. The session's owner turns it into an AppError. */
export class Silence extends Error {
  override readonly name = 'Silence'
  readonly tries: number
  readonly isRefused: boolean
  /** The command itself was never sent: it can be asked again whatever it is. */
  readonly isBeforeSending: boolean

  constructor(
    tries: number,
    isRefused: boolean,
    { cause, isBeforeSending = false }: { cause?: unknown; isBeforeSending?: boolean } = {},
  ) {
    super(isRefused ? 'the port is closed' : `no answer in ${tries} ${tries === 1 ? 'try' : 'tries'}`, { cause })
    this.tries = tries
    this.isRefused = isRefused
    this.isBeforeSending = isBeforeSending
  }
}

/** What a packet means for the question that is open: an answer, or undefined when it is not for it. Throws to fail the question. */
export type Accept<T> = (packet: RmcpPlusPacket) => T | undefined

/** The one question that is open on a link. A question at a time: callers wait for each other. */
export class Exchange {
  readonly #link: UdpLink
  readonly #log: Log
  #open:
    | { accept: (packet: RmcpPlusPacket) => void; refused: (cause: Error) => void; fail: (error: Error) => void }
    | undefined
  /** Gets packets while no question is open. */
  onOther: ((packet: RmcpPlusPacket) => void) | undefined

  constructor(link: UdpLink, log: Log) {
    this.#link = link
    this.#log = log
    link.onDatagram = (bytes) => this.#onDatagram(bytes)
    link.onRefused = (cause) => this.#open?.refused(cause)
  }

  send(datagram: Uint8Array): void {
    this.#link.send(datagram)
  }

  /** Fails the open question, if there is one, with what `why` makes. */
  cancel(why: () => Error): void {
    this.#open?.fail(why())
  }

  /**
   * @param make the datagram of try 0, 1, 2 …
   * @param waitsMs pause after each try, milliseconds; as many tries as pauses
   * @throws {Silence} when nobody answered; whatever `accept` throws, except WireError
   */
  ask<T>(
    make: (attempt: number) => Uint8Array,
    accept: Accept<T>,
    { waitsMs = RETRY_WAITS_MS, signal }: { waitsMs?: readonly number[]; signal?: AbortSignal | undefined } = {},
  ): Promise<T> {
    if (this.#open) throw new Error('Cannot ask on a link with an open question')
    return new Promise<T>((resolve, reject) => {
      let attempt = 0
      let refusals = 0
      let timer: NodeJS.Timeout | undefined
      let overdue: NodeJS.Immediate | undefined
      const end = () => {
        clearTimeout(timer)
        clearImmediate(overdue)
        signal?.removeEventListener('abort', onAbort)
        this.#open = undefined
      }
      const fail = (error: unknown) => {
        end()
        reject(error as Error)
      }
      const onAbort = () => fail(signal!.reason)
      const send = () => {
        const waitMs = waitsMs[attempt]
        if (waitMs === undefined) return fail(new Silence(attempt, false))
        // When the process was busy for longer than the pause, the answer may have arrived meanwhile: what arrived is looked at first.
        timer = setTimeout(() => (overdue = setImmediate(send)), waitMs)
        this.#link.send(make(attempt++))
      }
      this.#open = {
        fail,
        accept: (packet) => {
          let answer: T | undefined
          try {
            answer = accept(packet)
          } catch (error) {
            if (error instanceof WireError) throw error
            return fail(error)
          }
          if (answer === undefined) return
          end()
          resolve(answer)
        },
        refused: (cause) => {
          if (++refusals >= MAX_REFUSALS) fail(new Silence(attempt, true, { cause }))
        },
      }
      if (signal?.aborted) return onAbort()
      signal?.addEventListener('abort', onAbort, { once: true })
      send()
    })
  }

  #onDatagram(bytes: Uint8Array): void {
    try {
      const message = parseRmcp(bytes)
      if (message.kind !== 'ipmi') return this.#log.debug('packet ignored', { why: 'not of class IPMI' })
      const packet = parseSessionPacket(message.body)
      if (packet.format !== 'v2.0') return this.#log.debug('packet ignored', { why: 'not of a v2.0 session' })
      if (this.#open) this.#open.accept(packet)
      else this.onOther?.(packet)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.#log.debug('packet ignored', { why: error.message })
    }
  }
}
