/**
 * The channels over WebSocket: `exec`, `attach` and `console`. A binary message is one byte that says which stream, then its
 * bytes; the control stream carries JSON (model/api.ts).
 */
import type { WebSocket } from 'ws'
import { AppError } from '../../base/errors.ts'
import { CHANNEL, clientControl, type ServerControl } from '../../model/api.ts'
import type { z } from 'zod'
import { errorBodyOf } from './router.ts'

export type ControlMessage = z.output<typeof clientControl>

export interface ChannelHandlers {
  input(bytes: Uint8Array): Promise<void> | void
  control(message: ControlMessage): Promise<void> | void
}

/** Bytes that may wait in the socket before a sender has to wait. */
const HIGH_WATER = 1 << 20

/** Messages that may come before what they are for is open. */
const MAX_WAITING = 64

export class Channel {
  /** Aborts when the client has gone. */
  readonly gone: AbortSignal
  readonly #socket: WebSocket
  #handlers: ChannelHandlers | undefined
  #waiting: Buffer[] = []
  #tail: Promise<void> = Promise.resolve()

  constructor(socket: WebSocket) {
    const gone = new AbortController()
    this.gone = gone.signal
    this.#socket = socket
    socket.binaryType = 'nodebuffer'
    socket.on('close', () => gone.abort())
    socket.on('error', () => gone.abort())
    socket.on('message', (data) => {
      const message = data as Buffer
      if (this.#handlers) return this.#take(message)
      this.#waiting.push(message)
      if (this.#waiting.length >= MAX_WAITING) socket.pause()
    })
  }

  /** From now on messages go to `handlers`, those that wait first; one after the other. */
  handle(handlers: ChannelHandlers): void {
    this.#handlers = handlers
    this.#socket.resume()
    for (const message of this.#waiting.splice(0)) this.#take(message)
  }

  async send(stream: 'stdout' | 'stderr', bytes: Uint8Array): Promise<void> {
    const message = Buffer.allocUnsafe(bytes.length + 1)
    message[0] = CHANNEL[stream]
    message.set(bytes, 1)
    await this.#write(message)
  }

  async control(message: ServerControl): Promise<void> {
    await this.#write(Buffer.concat([Buffer.from([CHANNEL.control]), Buffer.from(JSON.stringify(message))]))
  }

  /** Says why it ended badly, and closes. */
  async fail(error: unknown): Promise<void> {
    await this.control({ type: 'error', error: errorBodyOf(error).error })
    this.close()
  }

  close(): void {
    this.#socket.close()
  }

  #take(message: Buffer): void {
    this.#tail = this.#tail
      .then(async () => {
        const body = message.subarray(1)
        if (message[0] === CHANNEL.stdin) return this.#handlers!.input(body)
        if (message[0] === CHANNEL.control) return this.#handlers!.control(parseControl(body))
        throw new AppError('invalid', `Cannot read a message of stream ${message[0]}: a client sends 0 or 3`)
      })
      .catch((error: unknown) => this.fail(error))
    // Many messages that wait mean that the receiver is slow: the sender is made to wait too.
    this.#socket.pause()
    void this.#tail.finally(() => this.#socket.resume())
  }

  async #write(message: Buffer): Promise<void> {
    if (this.#socket.readyState !== this.#socket.OPEN) return
    await new Promise<void>((resolve) => {
      this.#socket.send(message, () => resolve())
      if (this.#socket.bufferedAmount < HIGH_WATER) resolve()
    })
  }
}

function parseControl(bytes: Uint8Array): ControlMessage {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(bytes))
  } catch (cause) {
    throw new AppError('invalid', 'Cannot read a control message: it is not JSON', { cause })
  }
  const parsed = clientControl.safeParse(value)
  if (!parsed.success)
    throw new AppError('invalid', `Cannot read a control message: ${parsed.error.issues[0]?.message}`)
  return parsed.data
}
