/** The web server of a BMC: HTTPS with the certificate that it signed itself. What is asked is answered by functions. */
import { readFileSync } from 'node:fs'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Readable } from 'node:stream'
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

export type WebHandler = (request: WebRequest) => Promise<WebAnswer>

/** A body that is longer than its reader takes. */
export class TooLong extends Error {}

const CONNECTIONS_MAX = 64
/** A whole image over a slow link; a header has a minute (Node's default). */
const REQUEST_MS = 3_600_000

/**
 * Listens with TLS until disposed.
 * @param tlsFile key and certificate (PEM)
 * @param handler what it throws is answered with 500, and logged
 */
export async function serveWeb(
  where: { readonly host: string; readonly port: number },
  tlsFile: string,
  handler: WebHandler,
  log: Log,
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

  return await listen(server, where)
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
