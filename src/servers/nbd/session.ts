/**
 * The transmission phase of one connection. Requests are queued as they arrive and answered in order, as many as fit into one
 * slab with one write. A client that does not read what it asked for has one slab of ours, and is not listened to any more.
 */
import type { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { explain, WireError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import {
  DATA_CHUNK_BYTES,
  MAX_PAYLOAD_BYTES,
  NBD_CMD,
  NBD_CMD_FLAG,
  NBD_ERROR,
  parseRequest,
  REQUEST_BYTES,
  SIMPLE_REPLY_BYTES,
  writeDataChunk,
  writeDoneChunk,
  writeErrorChunk,
  writeHoleChunk,
  writeSimpleReply,
  type NbdRequest,
} from '../../wire/nbd/transmission.ts'
import type { Device } from './device.ts'
import { SLAB_BYTES, type Slab, type Slabs } from './slabs.ts'
import type { SocketWrites } from './socket-writes.ts'
import type { Touches } from './touches.ts'

/** Requests that wait for their answers; beyond them the client is not listened to. */
const MAX_QUEUED = 256
const RESUME_QUEUED = 64
/** A slab with less room than this, and than what is left to send, is sent before more is put into it. */
const MIN_PIECE_BYTES = 32 << 10
/** A client that takes all at once has its next turn after the others: half a millisecond's worth. */
const TURN_BYTES = 1 << 20
/** A refusal with its message, a hole, the head of a piece. */
const MAX_SHORT_REPLY_BYTES = 128

/** What a session adds to; one for all sessions of a token in a thread. */
export interface Tally {
  requests: number
  bytesSent: number
}

export interface SessionDeps {
  readonly log: Log
  readonly slabs: Slabs
  /** Undefined: all is written by Node. */
  readonly writes: SocketWrites | undefined
  readonly device: Device
  readonly hasStructuredReplies: boolean
  readonly tally: Tally
  readonly touches: Touches | undefined
}

export class Session {
  readonly #socket: Socket
  readonly #deps: SessionDeps
  #queue: NbdRequest[] = []
  /** The first of the queue that is not answered. */
  #next = 0
  /** How much of a read has been put into slabs. */
  #sent = 0
  /** Bytes of a request that has not arrived whole. */
  #held: Buffer = Buffer.alloc(0)
  /** A write that is refused once its payload has passed. */
  #refused: NbdRequest | undefined
  #payloadLeft = 0
  #isServing = false
  #isLast = false
  #isOver = false
  #writes = 0
  #written = 0
  #onWritten: (() => void) | undefined
  /** Since when a slab has waited to be sent, or undefined. */
  #waitingSinceMs: number | undefined
  readonly #afterWrite = (): void => {
    this.#written += 1
    if (this.#written === this.#writes) this.#onWritten?.()
  }

  constructor(socket: Socket, deps: SessionDeps) {
    this.#socket = socket
    this.#deps = deps
  }

  /** Answers until the connection is over. @param rest what arrived with the handshake */
  async run(rest: Buffer): Promise<void> {
    const { promise: over, resolve: end } = Promise.withResolvers<void>()
    const onData = (bytes: Buffer): void => this.#guard(() => this.#take(bytes))
    const onEnd = (): void => {
      this.#isOver = true
      this.#onWritten?.()
    }
    this.#socket
      .on('data', onData)
      .once('end', onEnd)
      .once('close', () => {
        onEnd()
        end()
      })
    if (this.#socket.destroyed) return
    onData(rest)
    if (!this.#socket.destroyed && this.#queued() < MAX_QUEUED) this.#socket.resume()
    await over
  }

  /** How long the client has not taken what waits for it, milliseconds. */
  stalledMs(nowMs: number): number {
    return this.#waitingSinceMs === undefined ? 0 : nowMs - this.#waitingSinceMs
  }

  /** Bytes that break the protocol end this connection, and no more than it. */
  #guard(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    this.#isOver = true
    if (error instanceof WireError) this.#deps.log.debug('NBD connection ended', { why: error.message })
    else this.#deps.log.warn('NBD connection ended', { why: explain(error) })
    this.#socket.destroy()
  }

  #queued(): number {
    return this.#queue.length - this.#next
  }

  #take(arrived: Buffer): void {
    if (this.#isOver || this.#isLast) return
    const bytes = this.#held.length === 0 ? arrived : Buffer.concat([this.#held, arrived])
    let at = 0
    for (;;) {
      if (this.#refused !== undefined) {
        const passed = Math.min(this.#payloadLeft, bytes.length - at)
        this.#payloadLeft -= passed
        at += passed
        if (this.#payloadLeft > 0) break
        this.#queue.push(this.#refused)
        this.#refused = undefined
      }
      if (this.#queued() >= MAX_QUEUED) {
        this.#socket.pause()
        break
      }
      if (bytes.length - at < REQUEST_BYTES) break
      const request = parseRequest(bytes, at)
      at += REQUEST_BYTES
      if (request.command === NBD_CMD.disconnect) {
        this.#isLast = true
        break
      }
      if (request.command === NBD_CMD.write) {
        if (request.length > MAX_PAYLOAD_BYTES)
          throw new WireError('NBD request', `a write of ${request.length} bytes, at most ${MAX_PAYLOAD_BYTES}`)
        this.#refused = request
        this.#payloadLeft = request.length
      } else this.#queue.push(request)
    }
    this.#held = bytes.subarray(at)
    if (this.#isServing) return
    this.#isServing = true
    this.#serve().catch((error: unknown) => this.#fail(error))
  }

  async #serve(): Promise<void> {
    const { slabs, writes, tally } = this.#deps
    let since = 0
    while (!this.#isOver && this.#queued() > 0) {
      const slab = slabs.take()
      let used = 0
      while (!this.#isOver && this.#queued() > 0 && used + this.#roomNeeded() <= SLAB_BYTES) {
        const end = this.#answer(slab, used)
        used = typeof end === 'number' ? end : await end
      }
      this.#compact()
      if (this.#isOver) return slabs.give(slab)
      tally.bytesSent += used
      const taken = writes?.send(this.#socket, slab.address, used) ?? 0
      if (taken < used) {
        this.#writes += 1
        this.#socket.write(slab.bytes.subarray(taken, used), this.#afterWrite)
        if (this.#socket.writableLength > 0) await this.#untilWritten()
      }
      // What was not written when the connection broke may still be held by the system's call: such a slab is left to the collector.
      if (!this.#isOver) slabs.give(slab)
      if (this.#queued() <= RESUME_QUEUED && this.#socket.isPaused()) {
        this.#socket.resume()
        if (this.#held.length >= REQUEST_BYTES) this.#take(Buffer.alloc(0))
      }
      // Others have their turn after some slabs.
      since += used
      if (this.#queued() > 0 && since >= TURN_BYTES) {
        await turn()
        since = 0
      }
    }
    this.#isServing = false
    if (this.#isLast && !this.#isOver) this.#socket.end()
  }

  async #untilWritten(): Promise<void> {
    this.#waitingSinceMs = performance.now()
    await new Promise<void>((resolve) => {
      this.#onWritten = resolve
      if (this.#isOver || this.#written === this.#writes) resolve()
    })
    this.#onWritten = undefined
    this.#waitingSinceMs = undefined
  }

  #compact(): void {
    if (this.#next === this.#queue.length) {
      this.#queue = []
      this.#next = 0
    } else if (this.#next >= MAX_QUEUED) {
      this.#queue = this.#queue.slice(this.#next)
      this.#next = 0
    }
  }

  /** How much room the next piece of an answer should have. */
  #roomNeeded(): number {
    const request = this.#queue[this.#next]!
    if (request.command !== NBD_CMD.read || this.#sent === request.length) return MAX_SHORT_REPLY_BYTES
    return MAX_SHORT_REPLY_BYTES + Math.min(request.length - this.#sent, MIN_PIECE_BYTES)
  }

  /** Puts the next piece of an answer into the slab, which has room for it. @returns where it ends */
  #answer(slab: Slab, at: number): number | Promise<number> {
    const request = this.#queue[this.#next]!
    if (this.#sent > 0) return this.#readOn(slab, at, request)
    this.#deps.tally.requests += 1
    const refusal = refusalOf(request, this.#deps.device.sizeBytes)
    if (refusal === undefined && request.command === NBD_CMD.read && request.length > 0)
      return this.#readOn(slab, at, request)
    this.#next += 1
    return this.#shortReply(slab, at, request, refusal ?? { error: NBD_ERROR.none, message: '' })
  }

  #shortReply({ bytes }: Slab, at: number, { cookie }: NbdRequest, { error, message }: Refusal): number {
    if (!this.#deps.hasStructuredReplies) return writeSimpleReply(bytes, at, cookie, error)
    return error === NBD_ERROR.none
      ? writeDoneChunk(bytes, at, cookie)
      : writeErrorChunk(bytes, at, cookie, error, message)
  }

  #readOn(slab: Slab, at: number, request: NbdRequest): number | Promise<number> {
    const { device, touches, hasStructuredReplies } = this.#deps
    const { cookie } = request
    const offset = request.offset + this.#sent
    const left = request.length - this.#sent
    const mayFragment = hasStructuredReplies && (request.flags & NBD_CMD_FLAG.df) === 0
    const place = mayFragment ? device.run(offset, left) : left
    if (place < 0) {
      this.#advance(request, -place)
      return writeHoleChunk(slab.bytes, at, cookie, { offset, length: -place, isLast: -place === left })
    }
    const hasHead = mayFragment || this.#sent === 0
    const headBytes = !hasHead ? 0 : hasStructuredReplies ? DATA_CHUNK_BYTES : SIMPLE_REPLY_BYTES
    const length = Math.min(place, SLAB_BYTES - at - headBytes)
    if (hasHead && hasStructuredReplies) {
      const inChunk = mayFragment ? length : left
      writeDataChunk(slab.bytes, at, cookie, { offset, length: inChunk, isLast: inChunk === left })
    } else if (hasHead) writeSimpleReply(slab.bytes, at, cookie, NBD_ERROR.none)
    const end = at + headBytes + length
    touches?.note(offset, length)
    try {
      const waiting = device.fill(slab, at + headBytes, offset, length)
      if (waiting !== undefined)
        return waiting.then(
          () => (this.#advance(request, length), end),
          (error: unknown) => this.#onUnreadable(slab, at, request, hasHead, error),
        )
    } catch (error) {
      return this.#onUnreadable(slab, at, request, hasHead, error)
    }
    this.#advance(request, length)
    return end
  }

  /** An error takes the place of the piece, as long as its head has not been sent; the rest of the read is left out. */
  #onUnreadable(slab: Slab, at: number, request: NbdRequest, hasHead: boolean, error: unknown): number {
    if (!hasHead) throw error
    this.#deps.log.warn('NBD read failed', { why: explain(error) })
    this.#next += 1
    this.#sent = 0
    return this.#shortReply(slab, at, request, { error: NBD_ERROR.EIO, message: 'the bytes cannot be read' })
  }

  #advance(request: NbdRequest, length: number): void {
    this.#sent += length
    if (this.#sent < request.length) return
    this.#sent = 0
    this.#next += 1
  }
}

export interface Refusal {
  readonly error: number
  /** ASCII, at most 64 characters. */
  readonly message: string
}

const READ_ONLY = { error: NBD_ERROR.EPERM, message: 'the export is read-only' } as const
const OUT_OF_RANGE = { error: NBD_ERROR.EINVAL, message: 'the range is not within the export' } as const
const TOO_LONG = { error: NBD_ERROR.EINVAL, message: 'the range is longer than the maximum block size' } as const
const UNKNOWN = { error: NBD_ERROR.EINVAL, message: 'there is no such command' } as const

/** Why a request is not done, or undefined. A write's payload is not looked at. */
export function refusalOf({ command, offset, length }: NbdRequest, sizeBytes: number): Refusal | undefined {
  switch (command) {
    case NBD_CMD.read:
    case NBD_CMD.cache:
      if (offset > sizeBytes || length > sizeBytes - offset) return OUT_OF_RANGE
      return length > MAX_PAYLOAD_BYTES ? TOO_LONG : undefined
    case NBD_CMD.flush:
      return undefined
    case NBD_CMD.write:
    case NBD_CMD.trim:
    case NBD_CMD.writeZeroes:
    case NBD_CMD.resize:
      return READ_ONLY
    default:
      return UNKNOWN
  }
}
