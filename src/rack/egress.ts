/**
 * The way out of a rack. Its network has no route, so this process stays in the network of the host and forwards HTTP: CONNECT,
 * and requests with an absolute URI (RFC 9112 §3.2.2, RFC 9110 §9.3.6). It listens on a unix socket that only the owner of the
 * rack may open; 127.0.0.1 means the host's.
 */
import { chmodSync, rmSync } from 'node:fs'
import {
  type ClientRequest,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as httpRequest,
  type ServerResponse,
} from 'node:http'
import { createConnection } from 'node:net'
import type { Duplex } from 'node:stream'
import { explain } from '../base/errors.ts'
import { untilGone } from './keeper-client.ts'
import { listen } from './listening.ts'

const CONNECTIONS_MAX = 256
const CONNECT_MS = 15_000
const IDLE_MS = 10 * 60_000
/** Belong to one connection, not to the message (RFC 9110 §7.6.1). */
const HOP_BY_HOP = ['connection', 'proxy-connection', 'proxy-authorization', 'keep-alive', 'te', 'upgrade']

/** Listens until disposed. */
export async function serveEgress(socketPath: string): Promise<AsyncDisposable> {
  rmSync(socketPath, { force: true })
  const server = createServer({ maxHeaderSize: 16 * 1024 }, forward).on('connect', tunnel)
  server.maxConnections = CONNECTIONS_MAX
  server.setTimeout(IDLE_MS)
  const listening = await listen(server, { path: socketPath })
  chmodSync(socketPath, 0o600)
  return listening
}

function forward(request: IncomingMessage, response: ServerResponse): void {
  const refuse = (status: number, why: string): void => {
    if (response.headersSent) response.destroy()
    else response.writeHead(status, { 'content-type': 'text/plain' }).end(`${why}\n`)
  }
  const url = URL.canParse(request.url ?? '') ? new URL(request.url!) : undefined
  if (url?.protocol !== 'http:')
    return refuse(400, 'Cannot forward: the request needs an absolute http:// URI, or CONNECT')
  let outgoing: ClientRequest
  try {
    outgoing = httpRequest(url, {
      method: request.method ?? 'GET',
      headers: { ...endToEnd(request.headers), host: url.host },
      agent: false,
    })
  } catch (cause) {
    return refuse(400, `Cannot forward: ${explain(cause)}`)
  }
  outgoing.setTimeout(IDLE_MS, () => outgoing.destroy())
  outgoing.once('error', (cause) => refuse(502, `Cannot reach "${url.host}": ${cause.message}`))
  outgoing.once('response', (incoming) => {
    response.writeHead(incoming.statusCode ?? 502, endToEnd(incoming.headers))
    incoming.once('error', () => response.destroy())
    incoming.pipe(response)
  })
  response.once('close', () => outgoing.destroy())
  request.once('error', () => outgoing.destroy())
  request.pipe(outgoing)
}

function endToEnd(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.includes(name)))
}

function tunnel(request: IncomingMessage, inside: Duplex, head: Buffer): void {
  inside.on('error', () => inside.destroy())
  const target = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/@\s]+)):(\d{1,5})$/.exec(request.url ?? '')
  const port = Number(target?.[3] ?? 0)
  if (target === null || port < 1 || port > 65_535)
    return void inside.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n')
  const outside = createConnection({ host: target[1] ?? target[2]!, port })
  outside.setTimeout(CONNECT_MS, () => outside.destroy(new Error('no answer')))
  outside.once('connect', () => {
    outside.setTimeout(IDLE_MS, () => outside.destroy())
    inside.write('HTTP/1.1 200 Connection established\r\n\r\n')
    if (head.length > 0) outside.write(head)
    inside.pipe(outside).pipe(inside)
  })
  outside.on('error', () => {
    if (outside.bytesWritten === 0 && outside.bytesRead === 0)
      inside.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n')
    else inside.destroy()
  })
  outside.once('close', () => inside.end())
  inside.once('close', () => outside.destroy())
}

if (import.meta.main) {
  process.umask(0o077)
  const [socketPath, keeperSocket] = process.argv.slice(2)
  const stop = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => stop.abort())
  await using _server = await serveEgress(socketPath!)
  // It has no purpose without the rack, whose keeper may be killed at any time.
  await untilGone(keeperSocket!, stop.signal)
}
