/**
 * The channel of exec, attach and console: a WebSocket that carries the streams and control messages of one process. Both
 * directions feel back-pressure: reading stops the peer when nobody takes what came, writing waits until bytes have left.
 */
import { WebSocket, type ClientOptions } from 'ws'
import { WireError } from '../base/errors.ts'
import type { CHANNEL, ClientControl, ServerControl } from '../model/api.ts'
import type { Endpoint } from './endpoint.ts'
import { parseJson } from './lines.ts'
import { answerError, connectionError, credentials, lost, target, type Query } from './transport.ts'

/** The same numbers as the model's, said again so that its schemas are not loaded. */
const KIND: typeof CHANNEL = { stdin: 0, stdout: 1, stderr: 2, control: 3 }

/** Messages that were received and not yet taken may hold this much before the peer is stopped, bytes. */
const HIGH_WATER_BYTES = 1024 * 1024
const LARGEST_MESSAGE_BYTES = 16 * 1024 * 1024
const PIECE_BYTES = 64 * 1024

export type ChannelMessage =
  | { readonly kind: 'stdout' | 'stderr'; readonly bytes: Uint8Array }
  | { readonly kind: 'control'; readonly control: ServerControl }

export interface Channel extends AsyncDisposable {
  /** What the server sends, in order; ends when it closes the channel. Throws an AppError when the connection breaks. */
  readonly messages: AsyncIterable<ChannelMessage>
  /** Sends bytes to the process's standard input; resolves when they have left. */
  write(bytes: Uint8Array): Promise<void>
  control(message: ClientControl): Promise<void>
}

/**
 * Opens a channel.
 * @param path of the API, e.g. `/v1/containers/web/exec`
 * @throws {AppError} what the server answered instead, or unreachable
 */
export async function openChannel(
  endpoint: Endpoint,
  path: string,
  { query, signal }: { query?: Query; signal?: AbortSignal } = {},
): Promise<Channel> {
  signal?.throwIfAborted()
  const socket = connect(endpoint, target(path, query))
  const inbox = createInbox(socket, endpoint)
  const abort = () => socket.terminate()
  signal?.addEventListener('abort', abort, { once: true })
  socket.once('close', () => signal?.removeEventListener('abort', abort))
  try {
    await opened(socket, endpoint)
  } catch (cause) {
    signal?.throwIfAborted()
    throw cause
  }
  const post = (bytes: Uint8Array) => sendBytes(socket, bytes, endpoint)
  return {
    messages: inbox,
    async write(bytes) {
      for (let at = 0; at < bytes.length; at += PIECE_BYTES)
        await post(frame(KIND.stdin, bytes.subarray(at, at + PIECE_BYTES)))
    },
    control: (message) => post(frame(KIND.control, Buffer.from(JSON.stringify(message)))),
    async [Symbol.asyncDispose]() {
      if (socket.readyState === WebSocket.CLOSED) return
      const closed = new Promise((resolve) => socket.once('close', resolve))
      socket.close()
      socket.resume()
      const timer = setTimeout(() => socket.terminate(), 1000)
      await closed
      clearTimeout(timer)
    },
  }
}

/**
 * What one binary message of the server says.
 * @throws {WireError} on a kind that a server must not send, or a control message that is not one
 */
export function parseMessage(bytes: Uint8Array): ChannelMessage {
  const kind = bytes[0]
  const rest = bytes.subarray(1)
  if (kind === KIND.stdout) return { kind: 'stdout', bytes: rest }
  if (kind === KIND.stderr) return { kind: 'stderr', bytes: rest }
  if (kind !== KIND.control) throw new WireError('a channel message', `kind ${kind ?? 'missing'} is not a server's`)
  const control = parseJson(Buffer.from(rest).toString('utf8'), 'a control message')
  if (!isControl(control)) throw new WireError('a control message', 'neither stage, exit, notice, writer nor error')
  return { kind: 'control', control }
}

function isControl(value: unknown): value is ServerControl {
  if (typeof value !== 'object' || value === null) return false
  const control = value as Partial<Record<'type' | 'code' | 'stage' | 'error' | 'text' | 'isWriter', unknown>>
  if (control.type === 'exit') return typeof control.code === 'number'
  if (control.type === 'stage') return typeof control.stage === 'string'
  if (control.type === 'notice') return typeof control.text === 'string'
  if (control.type === 'writer') return typeof control.isWriter === 'boolean' && typeof control.text === 'string'
  const error = control.error as { message?: unknown } | null | undefined
  return control.type === 'error' && typeof error?.message === 'string'
}

function frame(kind: number, bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(bytes.length + 1)
  whole[0] = kind
  whole.set(bytes, 1)
  return whole
}

function connect(endpoint: Endpoint, path: string): WebSocket {
  const options: ClientOptions = {
    headers: credentials(endpoint),
    perMessageDeflate: false,
    maxPayload: LARGEST_MESSAGE_BYTES,
  }
  if (endpoint.kind === 'unix') return new WebSocket(`ws+unix:${endpoint.path}:${path}`, options)
  const base = endpoint.url.href.replace(/^http/, 'ws').replace(/\/$/, '')
  return new WebSocket(base + path, options)
}

function opened(socket: WebSocket, endpoint: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('open', resolve)
    socket.on('error', (cause) => reject(connectionError(cause, endpoint)))
    socket.once('unexpected-response', (request, response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => {
        if (chunks.length < 64) chunks.push(chunk)
      })
      response.on('close', () => {
        reject(answerError(response.statusCode ?? 0, Buffer.concat(chunks).toString('utf8'), endpoint))
        request.destroy()
        socket.terminate()
      })
    })
  })
}

function sendBytes(socket: WebSocket, bytes: Uint8Array, endpoint: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(bytes, (cause) => (cause ? reject(lost(cause, endpoint)) : resolve()))
  })
}

function createInbox(socket: WebSocket, endpoint: Endpoint): AsyncIterable<ChannelMessage> {
  const waiting: { readonly message: ChannelMessage; readonly sizeBytes: number }[] = []
  let waitingBytes = 0
  let end: { error?: unknown } | undefined
  let wake: () => void = () => {}
  const finish = (error?: unknown) => {
    end ??= error === undefined ? {} : { error }
    wake()
  }
  socket.on('message', (data: Buffer, isBinary) => {
    try {
      if (!isBinary) throw new WireError('a channel message', 'text where bytes are expected')
      waiting.push({ message: parseMessage(data), sizeBytes: data.length })
    } catch (error) {
      finish(error)
      return socket.terminate()
    }
    waitingBytes += data.length
    if (waitingBytes > HIGH_WATER_BYTES) socket.pause()
    wake()
  })
  socket.on('error', (cause) => finish(lost(cause, endpoint)))
  socket.on('close', (code: number) => finish(code === 1006 ? lost(undefined, endpoint) : undefined))
  return {
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const next = waiting.shift()
        if (next) {
          waitingBytes -= next.sizeBytes
          if (waitingBytes <= HIGH_WATER_BYTES && socket.isPaused) socket.resume()
          yield next.message
        } else if (end) {
          if ('error' in end) throw end.error
          return
        } else await new Promise<void>((resolve) => (wake = resolve))
      }
    },
  }
}
