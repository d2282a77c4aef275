/** A client of NBD that can misbehave: it sends what it is told to. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import {
  parseGreeting,
  parseOptionReply,
  serializeClientFlags,
  serializeOption,
  type NbdOption,
  type NbdOptionReply,
} from '../../src/wire/nbd/handshake.ts'
import {
  NBD_CMD,
  parseReply,
  serializeRequest,
  type NbdReply,
  type NbdRequest,
} from '../../src/wire/nbd/transmission.ts'

export class NbdClient implements AsyncDisposable {
  readonly socket: Socket
  #held: Buffer = Buffer.alloc(0)
  #isOver = false
  #wake: (() => void) | undefined
  #cookie = 0n

  constructor(socket: Socket) {
    this.socket = socket
    const over = (): void => {
      this.#isOver = true
      this.#wake?.()
    }
    socket
      .on('data', (bytes: Buffer) => {
        this.#held = Buffer.concat([this.#held, bytes])
        this.#wake?.()
      })
      .on('error', over)
      .on('end', over)
      .on('close', over)
  }

  /** Up to the greeting and the flags. */
  static async connect(port: number, host = '127.0.0.1'): Promise<NbdClient> {
    const client = new NbdClient(connect(port, host))
    parseGreeting(await client.#need(18))
    client.socket.write(serializeClientFlags({ isFixedNewstyle: true, hasNoZeroes: true }))
    return client
  }

  /** A session of an export. */
  static async open(port: number, token: string, { structured = true, host = '127.0.0.1' } = {}): Promise<NbdClient> {
    const client = await NbdClient.connect(port, host)
    if (structured) await client.ask({ option: 'structuredReply' })
    const replies = await client.ask({ option: 'go', name: token, requests: [3] })
    if (replies.at(-1)?.reply !== 'ack') throw new Error(JSON.stringify(replies))
    return client
  }

  /** The replies to one option, the last included. */
  async ask(option: Exclude<NbdOption, { option: 'malformed' }>): Promise<NbdOptionReply[]> {
    this.socket.write(serializeOption(option))
    return this.replies()
  }

  async replies(): Promise<NbdOptionReply[]> {
    const replies: NbdOptionReply[] = []
    for (;;) {
      const found = await this.#next(parseOptionReply)
      replies.push(found.reply)
      if (found.reply.reply === 'ack' || found.reply.reply === 'error') return replies
    }
  }

  /** Sends a request. @returns its cookie */
  send(request: Partial<NbdRequest>, payload?: Uint8Array): bigint {
    const cookie = ++this.#cookie
    this.socket.write(serializeRequest({ flags: 0, command: NBD_CMD.read, offset: 0, length: 0, cookie, ...request }))
    if (payload !== undefined) this.socket.write(payload)
    return cookie
  }

  /** The next reply; `dataBytes` follow a simple one that is none of an error. */
  async reply(dataBytes = 0): Promise<{ reply: NbdReply; data: Buffer }> {
    const { reply } = await this.#next(parseReply)
    const length = reply.kind === 'data' ? reply.length : reply.kind === 'simple' && reply.error === 0 ? dataBytes : 0
    return { reply, data: await this.#need(length) }
  }

  /** Reads, whichever replies were agreed on. @throws with the error's number when it is refused */
  async read(offset: number, length: number, flags = 0): Promise<Buffer> {
    const cookie = this.send({ offset, length, flags })
    const bytes = Buffer.alloc(length, 0xaa)
    for (;;) {
      const { reply, data } = await this.reply(length)
      if (reply.cookie !== cookie) throw new Error(`cookie ${reply.cookie}`)
      if (reply.kind === 'error' || (reply.kind === 'simple' && reply.error !== 0))
        throw new Error(`NBD ${reply.error}`)
      if (reply.kind === 'simple') return data
      if (reply.kind === 'data') data.copy(bytes, reply.offset - offset)
      if (reply.kind === 'hole') bytes.fill(0, reply.offset - offset, reply.offset - offset + reply.length)
      if (reply.kind === 'none' || reply.isLast) return bytes
    }
  }

  /** Resolves when the server has ended the connection. */
  async closed(): Promise<void> {
    while (!this.#isOver) await this.#more()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.socket.closed) return
    this.socket.destroy()
    await once(this.socket, 'close')
  }

  async #need(length: number): Promise<Buffer> {
    return (
      await this.#next((bytes) =>
        bytes.length < length ? undefined : { bytes: length, taken: bytes.subarray(0, length) },
      )
    ).taken
  }

  async #next<T extends { readonly bytes: number }>(parse: (bytes: Buffer) => T | undefined): Promise<T> {
    for (;;) {
      const found = parse(this.#held)
      if (found !== undefined) {
        this.#held = this.#held.subarray(found.bytes)
        return found
      }
      if (this.#isOver) throw new Error('the server closed the connection')
      await this.#more()
    }
  }

  async #more(): Promise<void> {
    await new Promise<void>((resolve) => (this.#wake = resolve))
  }
}
