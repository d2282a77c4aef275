/** The handshake of one connection: what each option is answered with, and the loop around it. */
import type { Socket } from 'node:net'
import { explain, WireError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import {
  CLIENT_FLAGS_BYTES,
  describeOption,
  NBD_FLAG,
  NBD_INFO,
  optionCode,
  parseClientFlags,
  parseOption,
  serializeExportNameReply,
  serializeGreeting,
  serializeOptionReply,
  type ClientFlags,
  type NbdOption,
  type NbdOptionReply,
} from '../../wire/nbd/handshake.ts'
import { MAX_PAYLOAD_BYTES } from '../../wire/nbd/transmission.ts'
import type { Device } from './device.ts'

export const BLOCK_SIZE = { minBytes: 1, preferredBytes: 4096, maxBytes: MAX_PAYLOAD_BYTES } as const

/** Options that one client may ask for; each of ours needs four. */
const MAX_OPTIONS = 32
/** Names that open nothing which one client may try. */
const MAX_UNKNOWN = 3

/** What a name opens. */
export type Opening =
  | { readonly kind: 'device'; readonly device: Device }
  | { readonly kind: 'unknown' | 'full' | 'failed' }

export interface HandshakeDeps {
  readonly log: Log
  /**
   * Asks for an export; one that is opened is the connection's to keep.
   * @param isSession it is going to be read, not only looked at
   */
  readonly open: (name: string, isSession: boolean) => Promise<Opening>
}

/** What was agreed on, and what the client has already sent behind it. */
export interface Agreed {
  readonly token: string
  readonly device: Device
  readonly hasStructuredReplies: boolean
  readonly rest: Buffer
}

/** What is answered without looking for an export. */
export type Answer =
  | { readonly kind: 'reply'; readonly reply: NbdOptionReply }
  | { readonly kind: 'end'; readonly reply: NbdOptionReply }
  | { readonly kind: 'structured' }
  | { readonly kind: 'open'; readonly name: string; readonly way: 'exportName' | 'info' | 'go' }

export function answerOption(option: NbdOption): Answer {
  switch (option.option) {
    case 'exportName':
    case 'info':
    case 'go':
      return { kind: 'open', name: option.name, way: option.option }
    case 'abort':
      return { kind: 'end', reply: { reply: 'ack' } }
    case 'structuredReply':
      return { kind: 'structured' }
    case 'list':
      return { kind: 'reply', reply: refuse('policy', 'exports are not listed') }
    case 'startTls':
      return { kind: 'reply', reply: refuse('policy', 'there is no TLS here') }
    case 'malformed':
      return { kind: 'reply', reply: refuse('invalid', 'the option is malformed') }
    case 'other':
      return { kind: 'reply', reply: refuse('unsupported', 'there is no such option') }
    default:
      return option satisfies never
  }
}

/**
 * Shakes hands.
 * @returns undefined when the client ended it, or was refused in the only way that there is
 * @throws {WireError} when the client's bytes cannot be followed; Gone, when the connection ends
 */
export async function shakeHands(socket: Socket, { log, open }: HandshakeDeps): Promise<Agreed | undefined> {
  const input = new Input(socket)
  socket.write(serializeGreeting())
  const flags = await input.next((bytes) =>
    bytes.length < CLIENT_FLAGS_BYTES
      ? undefined
      : { flags: parseClientFlags(bytes.subarray(0, CLIENT_FLAGS_BYTES)), bytes: CLIENT_FLAGS_BYTES },
  )
  let hasStructuredReplies = false
  let unknown = 0
  for (let count = 0; count < MAX_OPTIONS; count += 1) {
    const { option } = await input.next(parseOption)
    log.debug('NBD option', { option: describeOption(option) })
    const answer = answerOption(option)
    const reply = (...replies: NbdOptionReply[]): void => {
      for (const one of replies) socket.write(serializeOptionReply(optionCode(option), one))
    }
    switch (answer.kind) {
      case 'reply':
        reply(answer.reply)
        break
      case 'end':
        reply(answer.reply)
        return undefined
      case 'structured':
        hasStructuredReplies = true
        reply({ reply: 'ack' })
        break
      case 'open': {
        const opening = await open(answer.name, answer.way !== 'info')
        if (opening.kind === 'device') {
          const { device } = opening
          greetExport(socket, option, { device, flags: flags.flags, hasStructuredReplies })
          if (answer.way !== 'info') return { token: answer.name, device, hasStructuredReplies, rest: input.end() }
          break
        }
        if (answer.way === 'exportName') return undefined
        reply(REFUSALS[opening.kind])
        if (opening.kind === 'unknown' && ++unknown === MAX_UNKNOWN) return undefined
        break
      }
      default:
        answer satisfies never
    }
  }
  throw new WireError('NBD handshake', `it has more than ${MAX_OPTIONS} options`)
}

const REFUSALS = {
  unknown: refuse('unknown', 'there is no such export'),
  full: refuse('policy', 'there are too many connections'),
  failed: refuse('platform', 'the export cannot be read'),
} as const

function refuse(error: Extract<NbdOptionReply, { reply: 'error' }>['error'], message: string): NbdOptionReply {
  return { reply: 'error', error, message }
}

interface Terms {
  readonly device: Device
  readonly flags: ClientFlags
  readonly hasStructuredReplies: boolean
}

/** Tells the client what it has opened. */
function greetExport(socket: Socket, option: NbdOption, { device, flags, hasStructuredReplies }: Terms): void {
  const transmission =
    NBD_FLAG.hasFlags |
    NBD_FLAG.readOnly |
    NBD_FLAG.canMultiConn |
    NBD_FLAG.sendCache |
    (hasStructuredReplies ? NBD_FLAG.sendDf : 0)
  if (option.option === 'exportName') {
    socket.write(serializeExportNameReply(device.sizeBytes, transmission, flags))
    return
  }
  const requests = option.option === 'info' || option.option === 'go' ? option.requests : []
  const replies: NbdOptionReply[] = [
    { reply: 'info', info: { info: 'export', sizeBytes: device.sizeBytes, flags: transmission } },
  ]
  if (requests.includes(NBD_INFO.blockSize)) replies.push({ reply: 'info', info: { info: 'blockSize', ...BLOCK_SIZE } })
  if (requests.includes(NBD_INFO.description))
    replies.push({ reply: 'info', info: { info: 'description', text: 'root file system, read-only' } })
  replies.push({ reply: 'ack' })
  socket.write(Buffer.concat(replies.map((reply) => serializeOptionReply(optionCode(option), reply))))
}

/** The connection ended while we waited for more of it. */
export class Gone extends Error {}

/** The bytes of a socket, as far as they are asked for: at most one piece is held beyond an option. */
class Input {
  readonly #socket: Socket
  #held: Buffer = Buffer.alloc(0)
  #isOver = false
  #wake: (() => void) | undefined
  readonly #onData = (bytes: Buffer): void => {
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes])
    this.#socket.pause()
    this.#wake?.()
  }
  readonly #onClose = (): void => {
    this.#isOver = true
    this.#wake?.()
  }

  constructor(socket: Socket) {
    this.#socket = socket
    socket.pause()
    socket.on('data', this.#onData).on('end', this.#onClose).on('close', this.#onClose)
  }

  /** The first thing of the stream that `parse` finds; it is taken from it. */
  async next<T extends { readonly bytes: number }>(parse: (bytes: Buffer) => T | undefined): Promise<T> {
    for (;;) {
      const found = parse(this.#held)
      if (found !== undefined) {
        this.#held = this.#held.subarray(found.bytes)
        return found
      }
      if (this.#isOver) throw new Gone(explain(this.#socket.errored ?? 'the client closed it'))
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        this.#socket.resume()
      })
    }
  }

  /** Lets go of the socket, which stays paused. @returns what has arrived and was not taken */
  end(): Buffer {
    this.#socket.off('data', this.#onData).off('end', this.#onClose).off('close', this.#onClose)
    return this.#held
  }
}
