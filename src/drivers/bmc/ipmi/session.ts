/** An active RMCP+ session: questions one at a time, signed, encrypted, matched, and repeated where that is harmless. */
import { sleep } from '../../../base/clock.ts'
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import { NO_ACK_SEQUENCE, serializeRmcp } from '../../../wire/rmcp/rmcp.ts'
import type { Command } from '../../../wire/ipmi/command.ts'
import { COMMANDS } from '../../../wire/ipmi/commands.ts'
import { COMPLETION, describeCompletion } from '../../../wire/ipmi/completion.ts'
import { parseIpmiResponse, serializeIpmiRequest, type IpmiResponse } from '../../../wire/ipmi/message.ts'
import { PRIVILEGE } from '../../../wire/ipmi/rakp.ts'
import {
  openPacket,
  PAYLOAD,
  sealPacket,
  type PayloadName,
  type RmcpPlusPacket,
} from '../../../wire/ipmi/session-packet.ts'
import type { BmcTap } from '../../../services/power/power-port.ts'
import { Exchange, RETRY_WAITS_MS, Silence } from './exchange.ts'
import { shakeHands, type Established, type Login } from './handshake.ts'
import { nextRandom } from './random-pool.ts'
import { SequenceWindow } from './sequence-window.ts'
import { nextSessionState, type SessionEvent, type SessionState } from './session-state.ts'
import { tapCommand, tapSession } from './tap.ts'
import { openUdpLink } from './udp-link.ts'

/** How long a command that must not be sent twice may take to be answered, milliseconds. */
const SINGLE_TRY_WAITS_MS = [3000]
const CLOSE_WAITS_MS = [200, 400]
/** Pauses after "busy", milliseconds. */
const BUSY_WAITS_MS = [200, 400, 800, 1600]
/** Codes of a BMC that will do it later and has not done it: the node is busy, starts, or rewrites its records. */
const NOT_NOW: ReadonlySet<number> = new Set([
  COMPLETION.busy,
  COMPLETION.initializing,
  COMPLETION.updatingRecords,
  COMPLETION.updatingFirmware,
])
/** Codes after which it may have been done: asked again only where twice is the same as once. */
const MAYBE_DONE: ReadonlySet<number> = new Set([COMPLETION.timeout, COMPLETION.cannotAnswerNow])
const REQUEST_SEQUENCES = 64

/** The BMC took the packet and did not do the command. */
export class CompletionError extends Error {
  override readonly name = 'CompletionError'
  readonly completion: number

  constructor(command: Pick<Command<never, unknown>, 'name' | 'netFn' | 'command'>, completion: number) {
    super(`${command.name}: ${describeCompletion(command.netFn, command.command, completion)}`)
    this.completion = completion
  }
}

export interface SessionOptions extends Login {
  readonly host: string
  readonly port: number
  readonly log: Log
  readonly tap?: BmcTap | undefined
}

export type OpenSession = (options: SessionOptions, signal?: AbortSignal) => Promise<IpmiSession>
/** What a session asks its questions on. */
export type Questions = Pick<Exchange, 'ask' | 'send' | 'cancel' | 'onOther'>

/** How long a socket is kept after a login was broken off, for a session that the BMC opens a moment later, milliseconds. */
const LINGER_MS = 500

/**
 * Opens a socket and a session on it.
 * @throws {AppError} as `shakeHands`  @throws {Silence} when the BMC does not answer
 */
export async function openIpmiSession(options: SessionOptions, signal?: AbortSignal): Promise<IpmiSession> {
  const link = await openUdpLink(options.host, options.port)
  const exchange = new Exchange(link, options.log)
  try {
    const established = await tapSession(options.tap, () => shakeHands(exchange, options, options.log, signal))
    return new IpmiSession(link, exchange, established, options)
  } catch (error) {
    if (signal?.aborted) setTimeout(() => void link[Symbol.asyncDispose](), LINGER_MS)
    else await link[Symbol.asyncDispose]()
    throw error
  }
}

export class IpmiSession implements AsyncDisposable {
  readonly #link: AsyncDisposable
  readonly #exchange: Questions
  readonly #established: Established
  readonly #address: string
  readonly #log: Log
  readonly #tap: BmcTap | undefined
  readonly #window = new SequenceWindow()
  #state: SessionState = 'active'
  #sequence = 0
  #requestSequence = 0
  #isRaised = false
  #isEnding = false
  /** The end of the queue of questions. */
  #tail: Promise<unknown> = Promise.resolve()
  /** Gets SOL payloads, already checked and decrypted. */
  onSol: ((payload: Uint8Array) => void) | undefined

  constructor(
    link: AsyncDisposable,
    exchange: Questions,
    established: Established,
    { address, log, tap }: Pick<SessionOptions, 'address' | 'log' | 'tap'>,
  ) {
    this.#link = link
    this.#exchange = exchange
    this.#established = established
    this.#address = address
    this.#log = log
    this.#tap = tap
    exchange.onOther = (packet) => void this.#openNew(packet)
  }

  get isActive(): boolean {
    return this.#state === 'active'
  }

  get cipherSuite(): number {
    return this.#established.keys.suite.id
  }

  /**
   * Asks and waits for the answer, after the questions that were asked before.
   * @param waitsMs instead of the command's own: pause after each try, milliseconds
   * @throws {CompletionError} when the BMC declines  @throws {Silence} when nothing came; the session is then lost
   * @throws {AppError} `forbidden` when the user may not be raised to the level that the command needs
   */
  request<Q, A>(
    command: Command<Q, A>,
    question: Q,
    { signal, waitsMs }: { signal?: AbortSignal | undefined; waitsMs?: readonly number[] } = {},
  ): Promise<A> {
    const turn = this.#tail.then(async () => {
      if (PRIVILEGE[command.privilege] > PRIVILEGE.user) await this.#raise(signal)
      return this.#askPatiently(command, question, signal, waitsMs)
    })
    this.#tail = turn.catch(() => {})
    return turn
  }

  /** Raises the session from `user`, where it starts (§13.15), to what was agreed in the handshake. */
  async raise(signal?: AbortSignal): Promise<void> {
    const turn = this.#tail.then(() => this.#raise(signal))
    this.#tail = turn.catch(() => {})
    return turn
  }

  /** Sends a payload that is not a question: SOL. */
  sendSol(payload: Uint8Array): void {
    if (this.#state === 'active') this.#exchange.send(this.#seal('sol', payload))
  }

  /** Ends the open question, closes the session on the BMC as well if it answers within 0.6 s, and never throws. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isEnding) return this.#link[Symbol.asyncDispose]()
    this.#isEnding = true
    this.#exchange.cancel(
      () => new AppError('interrupted', `Cannot go on with BMC "${this.#address}": its session is being closed`),
    )
    await this.#tail
    if (this.#state === 'active') {
      try {
        const { closeSession } = COMMANDS
        const closing = this.#ask(closeSession, this.#established.bmcSessionId, undefined, CLOSE_WAITS_MS)
        this.#go('close')
        await closing
      } catch (error) {
        this.#log.debug('session not closed by its BMC', { address: this.#address, why: String(error) })
      }
      this.#go('done')
    }
    await this.#link[Symbol.asyncDispose]()
  }

  async #raise(signal?: AbortSignal): Promise<void> {
    if (this.#isRaised) return
    const level = this.#established.privilege
    try {
      await this.#askPatiently(COMMANDS.setSessionPrivilege, level, signal)
    } catch (cause) {
      if (!(cause instanceof CompletionError)) throw cause
      throw new AppError(
        'forbidden',
        `Cannot control BMC "${this.#address}": it keeps the user below the level "${level}"; raise the user's level, or the channel's limit, on the BMC`,
        { cause },
      )
    }
    this.#isRaised = true
  }

  async #askPatiently<Q, A>(
    command: Command<Q, A>,
    question: Q,
    signal?: AbortSignal,
    waitsMs?: readonly number[],
  ): Promise<A> {
    for (const pauseMs of [...BUSY_WAITS_MS, undefined]) {
      const response = await this.#ask(command, question, signal, waitsMs)
      if (response.completion === COMPLETION.ok) return command.answer.read(response.data)
      const isBusy = NOT_NOW.has(response.completion) || (command.isIdempotent && MAYBE_DONE.has(response.completion))
      if (!isBusy || pauseMs === undefined) throw new CompletionError(command, response.completion)
      await sleep(pauseMs, signal)
    }
    throw new Error('unreachable code')
  }

  async #ask<Q, A>(
    command: Command<Q, A>,
    question: Q,
    signal?: AbortSignal,
    waitsMs?: readonly number[],
  ): Promise<IpmiResponse> {
    if (this.#state !== 'active' || (this.#isEnding && command.command !== COMMANDS.closeSession.command))
      throw new Silence(0, false, { isBeforeSending: true })
    const sequence = this.#requestSequence
    this.#requestSequence = (sequence + 1) % REQUEST_SEQUENCES
    const data = command.request.write(question)
    const message = serializeIpmiRequest({ netFn: command.netFn, command: command.command, sequence, data })
    try {
      return await tapCommand(this.#tap, command, data, () =>
        this.#exchange.ask(
          // A repetition is a new packet of the session with the same request number (§6.12.13, §13.8).
          () => this.#seal('ipmi', message),
          (packet) => {
            const payload = this.#openNew(packet)
            if (!payload) return undefined
            const response = parseIpmiResponse(payload)
            const isOurs =
              response.sequence === sequence && response.command === command.command && response.netFn === command.netFn
            return isOurs ? response : undefined
          },
          { waitsMs: waitsMs ?? (command.isIdempotent ? RETRY_WAITS_MS : SINGLE_TRY_WAITS_MS), signal },
        ),
      )
    } catch (error) {
      if (error instanceof Silence && this.#state === 'active' && command.isIdempotent) this.#go('lost')
      throw error
    }
  }

  /** The payload of a packet of this session that was not seen before; SOL goes its own way. */
  #openNew(packet: RmcpPlusPacket): Uint8Array | undefined {
    if (packet.sessionId !== this.#established.consoleSessionId) return undefined
    const payload = openPacket(this.#established.keys, packet)
    if (!this.#window.take(packet.sequence)) return undefined
    if (packet.payloadType === PAYLOAD.ipmi) return payload
    if (packet.payloadType === PAYLOAD.sol) this.onSol?.(payload)
    return undefined
  }

  #seal(payloadType: PayloadName, payload: Uint8Array): Uint8Array {
    this.#sequence = (this.#sequence + 1) >>> 0 || 1
    const { keys, bmcSessionId } = this.#established
    const body = sealPacket(keys, {
      payloadType,
      sessionId: bmcSessionId,
      sequence: this.#sequence,
      payload,
      iv: nextRandom(16),
    })
    return serializeRmcp({ kind: 'ipmi', sequence: NO_ACK_SEQUENCE, body })
  }

  #go(event: SessionEvent): void {
    const next = nextSessionState(this.#state, event)
    if (!next) throw new Error(`Cannot take "${event}" in the session state "${this.#state}"`)
    this.#state = next
  }
}
