/**
 * The web server of a BMC: HTTPS, and WebSockets over it, with the certificate that it signed itself. What is asked is answered by
 * functions.
 */
import { readFileSync } from 'node:fs'
import { STATUS_CODES, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Duplex, Readable } from 'node:stream'
import { createWebSocketStream, WebSocketServer } from 'ws'
import { explain } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { listen } from './listening.ts'

export interface WebRequest {
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  /** What follows the header, unread. */
  readonly stream: Readable
}

export interface WebAnswer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | AsyncIterable<string>
}

export interface WebSockets {
  /** Whether a WebSocket may be opened, else the status of the refusal. */
  judge(request: Pick<WebRequest, 'path' | 'headers'>): 'open' | number
  /** Takes one that is open, as a stream of bytes both ways. */
  attach(stream: Duplex): void
}

export type WebHandler = (request: WebRequest) => Promise<WebAnswer>

/** A body that is longer than its reader takes. */
export class TooLong extends Error {}

const CONNECTIONS_MAX = 64
/** One message of what somebody types. */
const MESSAGE_MAX = 64 * 1024
/** A whole image over a slow link; a header has a minute (Node's default). */
const REQUEST_MS = 3_600_000

/**
 * Listens with TLS until disposed.
 * @param tlsFile key and certificate (PEM)
 * @param handler what it throws is answered with 500, and logged
 * @param sockets without it no WebSocket is opened
 */
export async function serveWeb(
  where: { readonly host: string; readonly port: number },
  tlsFile: string,
  handler: WebHandler,
  log: Log,
  sockets?: WebSockets,
): Promise<AsyncDisposable> {
  const pem = readFileSync(tlsFile, 'utf8')
  const server = createServer({ key: pem, cert: pem }, (request, response) => void answer(request, response))
  server.requestTimeout = REQUEST_MS
  server.maxConnections = CONNECTIONS_MAX

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.on('error', () => request.destroy())
    response.on('error', () => response.destroy())
    try {
      const { status, headers, body = '' } = await handler(requestOf(request))
      response.writeHead(status, headers)
      if (typeof body === 'string') response.end(body)
      else {
        for await (const part of body) response.write(part)
        response.end()
      }
    } catch (cause) {
      log.error('BMC request failed', { method: request.method, cause: explain(cause) })
      if (response.headersSent) response.destroy()
      else response.writeHead(500).end()
    } finally {
      // What nobody has read must not hold up the connection.
      request.resume()
    }
  }

  if (sockets !== undefined) serveWebSockets(server, sockets)
  return await listen(server, where)
}

function serveWebSockets(server: Server, { judge, attach }: WebSockets): void {
  const webSockets = new WebSocketServer({ noServer: true, maxPayload: MESSAGE_MAX, perMessageDeflate: false })
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy())
    const verdict = judge(requestOf(request))
    if (verdict !== 'open')
      return socket.end(
        `HTTP/1.1 ${verdict} ${STATUS_CODES[verdict] ?? ''}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
      )
    webSockets.handleUpgrade(request, socket, head, (one) => attach(createWebSocketStream(one)))
  })
}

/** Reads a body whole. @throws {TooLong} */
export async function readBody(stream: Readable, maxBytes: number): Promise<Uint8Array> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of stream as AsyncIterable<Buffer>) {
    length += part.length
    if (length > maxBytes) throw new TooLong(`a body has more than ${maxBytes} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** Compares secrets in a time that says nothing about them. */
export function isSame(one: string, other: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(one), digest(other))
}

function requestOf(request: IncomingMessage): WebRequest {
  const [path = '', query = ''] = (request.url ?? '').split(/\?(.*)/s, 2)
  const { method = '', headers } = request
  return { method, path, query: new URLSearchParams(query), headers, stream: request }
}
