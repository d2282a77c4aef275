/** Serial over LAN (IPMI v2.0 §15, §24) on a session of its own, so that console bytes and commands never wait for each other. */
import { concatBytes } from '../../../base/bytes.ts'
import { sleep } from '../../../base/clock.ts'
import { AppError, WireError } from '../../../base/errors.ts'
import type { BmcConsole } from '../../../services/power/power-port.ts'
import { COMMANDS, PAYLOAD_SOL, type PayloadActivation } from '../../../wire/ipmi/commands.ts'
import { COMPLETION } from '../../../wire/ipmi/completion.ts'
import {
  nextSolSequence,
  parseSol,
  serializeSol,
  SOL_OPERATION,
  SOL_STATUS,
  type SolPacket,
} from '../../../wire/ipmi/sol.ts'
import { Silence } from './exchange.ts'
import { CompletionError, openIpmiSession, type IpmiSession, type SessionOptions } from './session.ts'

const INSTANCE = 1
const MAX_ACTIVATIONS = 3
/** Below the 60 s after which a BMC drops a silent session (§6.12.15). */
const KEEP_ALIVE_MS = 15_000
/** A packet of characters is sent again after these pauses, milliseconds. */
const WRITE_WAITS_MS: readonly number[] = [300, 500, 500, 1000, 1000, 2000, 2000]
/** Pause after the BMC took only a part, milliseconds. */
const FULL_PAUSE_MS = 100
/** Output that nobody has read yet, bytes; beyond it nothing is acknowledged. */
const MAX_UNREAD_BYTES = 256 * 1024
/** Characters per packet when the BMC names no believable size. */
const DEFAULT_CHARACTERS = 64
const MAX_CHARACTERS = 220
const SOL_HEADER_BYTES = 4
/** More does not fit a datagram. */
const MAX_BELIEVED = 1400

/**
 * Opens a session and activates SOL in it.
 * @throws {AppError} `unreachable`, `conflict` (another session has the console), `unsupported`, and what the handshake throws
 */
export async function openSolConsole(
  options: SessionOptions,
  {
    takeOver,
    signal,
    keepAliveMs = KEEP_ALIVE_MS,
  }: { takeOver: boolean; signal?: AbortSignal | undefined; keepAliveMs?: number },
): Promise<BmcConsole> {
  await using stack = new AsyncDisposableStack()
  try {
    const session = stack.use(await openIpmiSession(options, signal))
    await session.raise(signal)
    const activation = await activate(session, options.address, takeOver, signal)
    const console = new SolConsole(session, options, activation)
    stack.use(console)
    console.keepAlive(keepAliveMs, await ownership(session, signal))
    stack.move()
    return console
  } catch (cause) {
    if (cause instanceof Silence)
      throw new AppError('unreachable', `Cannot open the console of BMC "${options.address}": ${cause.message}`, {
        cause,
      })
    throw cause
  }
}

async function activate(
  session: IpmiSession,
  address: string,
  takeOver: boolean,
  signal?: AbortSignal,
): Promise<PayloadActivation> {
  if (await isTaken(session, signal)) {
    if (!takeOver) throw taken(address)
    await deactivate(session, signal)
  }
  for (let tries = 1; ; tries++)
    try {
      return await session.request(COMMANDS.activatePayload, { instance: INSTANCE }, { signal })
    } catch (error) {
      const isOurs = error instanceof Silence && tries < MAX_ACTIVATIONS
      const canTake =
        error instanceof CompletionError &&
        error.completion === COMPLETION.payloadTaken &&
        takeOver &&
        tries < MAX_ACTIVATIONS
      // It was free a moment ago: when the answer was lost, what is active now is ours.
      if (isOurs || canTake) await deactivate(session, signal)
      else throw explainActivation(error, address)
    }
}

async function isTaken(session: IpmiSession, signal?: AbortSignal): Promise<boolean> {
  try {
    return await readActive(session, signal)
  } catch (error) {
    if (error instanceof CompletionError) return false
    throw error
  }
}

async function readActive(session: IpmiSession, signal?: AbortSignal): Promise<boolean> {
  const status = await session.request(COMMANDS.getPayloadActivationStatus, PAYLOAD_SOL, { signal })
  return (status.activeInstances & (1 << (INSTANCE - 1))) !== 0
}

type IsOurs = () => Promise<boolean>

/**
 * How to ask whether the console that has just been activated is still ours, as this BMC can tell: by the session that has it, by
 * whether any has, or not at all.
 */
async function ownership(session: IpmiSession, signal?: AbortSignal): Promise<IsOurs | undefined> {
  const readHolder = async (by?: AbortSignal): Promise<number> => {
    const question = { payloadType: PAYLOAD_SOL, instance: INSTANCE }
    return (await session.request(COMMANDS.getPayloadInstanceInfo, question, { signal: by })).sessionId
  }
  let holder = 0
  try {
    holder = await readHolder(signal)
  } catch (error) {
    if (!(error instanceof CompletionError || error instanceof WireError)) throw error
  }
  if (holder !== 0) return async () => (await readHolder()) === holder
  return (await isTaken(session, signal)) ? () => readActive(session) : undefined
}

async function deactivate(session: IpmiSession, signal?: AbortSignal): Promise<void> {
  try {
    await session.request(COMMANDS.deactivatePayload, { instance: INSTANCE }, { signal })
  } catch (error) {
    if (!(error instanceof CompletionError)) throw error
  }
}

function taken(address: string, cause?: unknown): AppError {
  return new AppError(
    'conflict',
    `Cannot open the console of BMC "${address}": another session has it; end that one, or take it over`,
    { cause },
  )
}

function explainActivation(error: unknown, address: string): unknown {
  if (!(error instanceof CompletionError)) return error
  if (error.completion === COMPLETION.payloadTaken) return taken(address, error)
  return new AppError(
    'unsupported',
    `Cannot open the console of BMC "${address}": it declined; enable serial over LAN on it, for this user too`,
    { cause: error },
  )
}

/** The characters that wait for their acknowledgement; one packet at a time (§15.9). */
interface Outstanding {
  readonly sequence: number
  onAck(packet: SolPacket): void
}

class SolConsole implements BmcConsole {
  readonly #session: IpmiSession
  readonly #address: string
  readonly #maxCharacters: number
  #keepAlive: NodeJS.Timeout | undefined
  readonly #over = new AbortController()
  #unread: Uint8Array[] = []
  #unreadBytes = 0
  #wake: (() => void) | undefined
  #failure: AppError | undefined
  #lastSeen: { sequence: number; length: number } = { sequence: 0, length: 0 }
  #sequence = 0
  #outstanding: Outstanding | undefined
  #tail: Promise<unknown> = Promise.resolve()

  constructor(session: IpmiSession, { address }: SessionOptions, activation: PayloadActivation) {
    this.#session = session
    this.#address = address
    this.#maxCharacters = charactersPerPacket(activation.inboundBytes)
    session.onSol = (payload) => this.#onPacket(parseSol(payload))
  }

  keepAlive(everyMs: number, isOurs: IsOurs | undefined): void {
    if (!this.#over.signal.aborted) this.#keepAlive = setInterval(() => void this.#keepAliveOnce(isOurs), everyMs)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    for (;;) {
      while (this.#unread.length > 0) {
        const bytes = concatBytes(...this.#unread)
        this.#unread = []
        this.#unreadBytes = 0
        yield bytes
      }
      if (this.#failure) throw this.#failure
      if (this.#over.signal.aborted) return
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  async write(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    await this.#inTurn(async () => {
      for (let at = 0; at < bytes.length;)
        at += await this.#sendOnce(bytes.subarray(at, at + this.#maxCharacters), 0, signal)
    })
  }

  async sendBreak(signal?: AbortSignal): Promise<void> {
    await this.#inTurn(async () => void (await this.#sendOnce(new Uint8Array(), SOL_OPERATION.break, signal)))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#over.signal.aborted && !this.#failure) return
    this.#end()
    if (this.#session.isActive && !this.#failure)
      await this.#session
        .request(COMMANDS.deactivatePayload, { instance: INSTANCE }, { waitsMs: [300, 500] })
        .catch(() => {})
    await this.#session[Symbol.asyncDispose]()
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#tail.then(() => {
      if (this.#failure) throw this.#failure
      if (this.#over.signal.aborted) throw this.#closed()
      return work()
    })
    this.#tail = turn.catch(() => {})
    return turn
  }

  /** Sends one packet until it is acknowledged. @returns how many of its characters the BMC took */
  async #sendOnce(characters: Uint8Array, flags: number, signal?: AbortSignal): Promise<number> {
    this.#sequence = nextSolSequence(this.#sequence)
    const sequence = this.#sequence
    const packet = serializeSol({ sequence, acknowledges: 0, accepted: 0, flags, characters })
    for (const waitMs of WRITE_WAITS_MS) {
      signal?.throwIfAborted()
      const ack = await this.#untilAck(sequence, packet, waitMs)
      if (this.#failure) throw this.#failure
      if (this.#over.signal.aborted) throw this.#closed()
      if (!ack) continue
      const isRefused = (ack.flags & (SOL_STATUS.nack | SOL_STATUS.unavailable)) !== 0
      const took = isRefused ? Math.min(ack.accepted, characters.length) : characters.length
      if (took < characters.length) await sleep(FULL_PAUSE_MS, signal)
      if (took > 0 || characters.length === 0) return took
    }
    throw this.#fail(
      new AppError(
        'unreachable',
        `Cannot write to the console of BMC "${this.#address}": nothing was acknowledged in ${WRITE_WAITS_MS.length} tries`,
      ),
    )
  }

  #untilAck(sequence: number, packet: Uint8Array, waitMs: number): Promise<SolPacket | undefined> {
    return new Promise((resolve) => {
      const end = (ack?: SolPacket) => {
        clearTimeout(timer)
        this.#over.signal.removeEventListener('abort', onOver)
        this.#outstanding = undefined
        resolve(ack)
      }
      const onOver = () => end()
      const timer = setTimeout(end, waitMs)
      this.#over.signal.addEventListener('abort', onOver)
      this.#outstanding = { sequence, onAck: end }
      this.#session.sendSol(packet)
    })
  }

  #onPacket(packet: SolPacket): void {
    if (packet.acknowledges !== 0 && packet.acknowledges === this.#outstanding?.sequence)
      this.#outstanding.onAck(packet)
    if (packet.sequence !== 0) this.#onCharacters(packet)
    if (packet.flags & SOL_STATUS.deactivated) this.#fail(this.#ended())
  }

  /** A repeated packet is acknowledged again and its characters are not; it may have grown (§15.11). */
  #onCharacters({ sequence, characters }: SolPacket): void {
    if (this.#unreadBytes + characters.length > MAX_UNREAD_BYTES || this.#over.signal.aborted) return
    const known = sequence === this.#lastSeen.sequence ? Math.min(this.#lastSeen.length, characters.length) : 0
    this.#lastSeen = { sequence, length: characters.length }
    this.#session.sendSol(
      serializeSol({
        sequence: 0,
        acknowledges: sequence,
        accepted: characters.length,
        flags: 0,
        characters: new Uint8Array(),
      }),
    )
    const fresh = characters.slice(known)
    if (fresh.length === 0) return
    this.#unread.push(fresh)
    this.#unreadBytes += fresh.length
    this.#wake?.()
  }

  /** Keeps the session, and looks whether the console is still on: a BMC may end it, or give it to another session, without a word. */
  async #keepAliveOnce(isOurs: IsOurs | undefined): Promise<void> {
    try {
      if (!isOurs) await this.#session.request(COMMANDS.getDeviceId, undefined)
      else if (!(await isOurs())) this.#fail(this.#ended())
    } catch (cause) {
      if (this.#over.signal.aborted || cause instanceof CompletionError || cause instanceof WireError) return
      this.#fail(
        new AppError(
          'unreachable',
          `Cannot go on with the console of BMC "${this.#address}": its session was dropped; open it again`,
          { cause },
        ),
      )
    }
  }

  #fail(failure: AppError): AppError {
    this.#failure ??= failure
    this.#end()
    return failure
  }

  #end(): void {
    clearInterval(this.#keepAlive)
    this.#over.abort()
    this.#wake?.()
  }

  #ended(): AppError {
    return new AppError(
      'conflict',
      `Cannot go on with the console of BMC "${this.#address}": the BMC ended it; another session may have taken it`,
    )
  }

  #closed(): AppError {
    return new AppError('interrupted', `Cannot write to the console of BMC "${this.#address}": it is closed`)
  }
}

/** From what Activate Payload says; some BMCs give 0, or the two bytes swapped. */
function charactersPerPacket(inboundBytes: number): number {
  const characters = inboundBytes - SOL_HEADER_BYTES
  return characters >= 1 && characters < MAX_BELIEVED ? Math.min(characters, MAX_CHARACTERS) : DEFAULT_CHARACTERS
}
