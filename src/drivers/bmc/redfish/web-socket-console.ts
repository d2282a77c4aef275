/** A BMC's serial console over a WebSocket of its web server, with the same trust and login as its Redfish service. */
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { createWebSocketStream, WebSocket } from 'ws'
import { AppError } from '../../../base/errors.ts'
import { untilAborted } from '../../../base/task.ts'
import type { BmcConsole } from '../../../services/power/power-port.ts'
import { consoleOver, plainWords } from '../stream-console.ts'
import { connectTrusted, type Trust } from '../trust.ts'

export interface WebSocketConsoleOptions {
  readonly origin: string
  /** For messages. */
  readonly address: string
  readonly path: string
  /** What logs in. */
  readonly headers: Readonly<Record<string, string>>
  readonly trust: Trust
  /** How long connecting may take, milliseconds. */
  readonly timeoutMs: number
  /** A BMC that says nothing for two of these, not even that it lives, is gone; milliseconds, default 15 s. */
  readonly keepAliveMs?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** The web server answered, and did not open a WebSocket. */
export class NoWebSocket extends AppError {
  readonly status: number

  constructor(code: 'unauthorized' | 'unsupported', message: string, status: number) {
    super(code, message)
    this.status = status
  }
}

const KEEPALIVE_MS = 15_000
/** One message of output; bmcweb sends 4 KiB at most. */
const MAX_MESSAGE_BYTES = 1 << 20
/** How long a BMC may take to see the end of a session, milliseconds. */
const END_MS = 2000

/** @throws {NoWebSocket} @throws {AppError} `unreachable`, `timeout`, and as connectTrusted */
export async function openWebSocketConsole({ signal, ...options }: WebSocketConsoleOptions): Promise<BmcConsole> {
  const { origin, address, path, trust, timeoutMs, headers } = options
  const cannot = `Cannot open the console of BMC "${address}" at "${path}"`
  const deadline = AbortSignal.timeout(timeoutMs)
  const ends = signal ? AbortSignal.any([signal, deadline]) : deadline
  const connecting = connectTrusted(origin, trust, `BMC "${address}"`, timeoutMs)
  connecting.then(
    (late) => (ends.aborted ? late.destroy() : undefined),
    () => {},
  )
  let socket: WebSocket | undefined
  try {
    const connection = await untilAborted(connecting, ends)
    socket = new WebSocket(`${origin.replace(/^http/, 'ws')}${path}`, {
      createConnection: () => connection,
      headers,
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
      followRedirects: false,
    })
    // From the beginning: output may come with the answer that opens it.
    const stream = createWebSocketStream(socket).on('error', () => {})
    await untilAborted(opened(socket, cannot), ends)
    return consoleOf(socket, stream, address, options.keepAliveMs ?? KEEPALIVE_MS)
  } catch (cause) {
    socket?.terminate()
    signal?.throwIfAborted()
    if (cause instanceof AppError) throw cause
    if (deadline.aborted) throw new AppError('timeout', `${cannot}: no answer in ${timeoutMs} ms`, { cause })
    throw new AppError('unreachable', `${cannot}: ${plainWords((cause as Error).message)}`, { cause })
  }
}

function opened(socket: WebSocket, cannot: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('open', resolve)
  socket.on('error', reject)
  socket.once('unexpected-response', (request, response) => {
    const status = response.statusCode ?? 0
    const code = status === 401 || status === 403 ? 'unauthorized' : 'unsupported'
    reject(new NoWebSocket(code, `${cannot}: it answers ${status} ${STATUS_CODES[status] ?? ''}`.trimEnd(), status))
    request.destroy()
  })
  return promise
}

function consoleOf(socket: WebSocket, stream: Duplex, address: string, keepAliveMs: number): BmcConsole {
  let words: string | undefined
  let isAlive = true
  socket.on(
    'close',
    (code, reason) => (words ??= code === 1006 ? undefined : `${code} ${plainWords(reason.toString())}`),
  )
  for (const sign of ['pong', 'ping', 'message'] as const) socket.on(sign, () => void (isAlive = true))
  const timer = setInterval(() => {
    // While nobody reads, nothing is read, and nothing can be said of the BMC.
    if (!isAlive && !socket.isPaused) {
      words = `nothing was heard in ${2 * keepAliveMs} ms`
      return socket.terminate()
    }
    isAlive = false
    if (socket.readyState === WebSocket.OPEN) socket.ping()
  }, keepAliveMs)
  socket.once('close', () => clearInterval(timer))
  return consoleOver({
    stream,
    address,
    lastWords: () => words?.trimEnd(),
    async close() {
      clearInterval(timer)
      socket.close()
      setTimeout(() => socket.terminate(), END_MS).unref()
    },
  })
}
