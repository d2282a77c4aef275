/**
 * An API server of a few lines for tests of the client and the command line: routes answer what the test says, on a Unix socket
 * in a folder of its own. It speaks HTTP and the channel protocol itself, without any code of ours but types.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocketServer, type WebSocket } from 'ws'
import type { ServerControl } from '../../src/model/api.ts'

export interface Asked {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingMessage['headers']
  /** Names in the route, decoded. */
  readonly params: readonly string[]
  readonly body: Buffer
  readonly json: () => unknown
}
export interface Answer {
  readonly status?: number
  readonly json?: unknown
  readonly body?: string | Uint8Array
  readonly headers?: Record<string, string>
  /** Writes the body itself and ends it. */
  readonly stream?: (response: ServerResponse) => void | Promise<void>
}
export type Handler = (asked: Asked) => Answer | Promise<Answer>
export type ChannelHandler = (channel: FakeChannel, asked: Asked) => void | Promise<void>

export interface FakeChannel {
  send(stream: 'stdout' | 'stderr', data: string | Uint8Array): void
  control(control: ServerControl): void
  /** The next message of the client: bytes of stdin, or a control message. */
  next(): Promise<{ stdin: string } | { control: Record<string, unknown> } | undefined>
  close(): void
  readonly socket: WebSocket
}

export interface FakeApi extends AsyncDisposable {
  readonly socketPath: string
  readonly host: string
  readonly requests: Asked[]
  /** @param route `GET /v1/containers/:id`; the last one that was named for a route wins */
  on(route: string, handler: Handler | Answer): void
  onChannel(route: string, handler: ChannelHandler): void
}

export function failure(status: number, code: string, message: string): Answer {
  return { status, json: { error: { code, message } } }
}

/** The body of a progress or event stream. */
export function sse(...events: (readonly [event: string, data: unknown])[]): Answer {
  const text = events.map(([event, data]) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`).join('')
  return { headers: { 'content-type': 'text/event-stream' }, body: text }
}

export function ndjson(...values: unknown[]): Answer {
  return {
    headers: { 'content-type': 'application/x-ndjson' },
    body: values.map((value) => `${JSON.stringify(value)}\n`).join(''),
  }
}

export async function startFakeApi(): Promise<FakeApi> {
  const folder = mkdtempSync(join(tmpdir(), 'fake-api-'))
  const socketPath = join(folder, 'api.sock')
  const routes = new Map<string, Handler | Answer>()
  const channels = new Map<string, ChannelHandler>()
  const requests: Asked[] = []
  const server = createServer((request, response) => {
    void answer(request, response)
  })
  const sockets = new WebSocketServer({ noServer: true })

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    } catch {
      return
    }
    const asked = toAsked(request, Buffer.concat(chunks))
    const found = find(routes, asked)
    requests.push(asked)
    const said = found
      ? typeof found.value === 'function'
        ? await found.value({ ...asked, params: found.params })
        : found.value
      : failure(404, 'not_found', `the fake has no ${asked.method} ${asked.path}`)
    const headers = { ...(said.json === undefined ? {} : { 'content-type': 'application/json' }), ...said.headers }
    response.writeHead(said.status ?? 200, headers)
    if (said.stream) return said.stream(response)
    response.end(said.json === undefined ? said.body : JSON.stringify(said.json))
  }

  server.on('upgrade', (request, socket, head) => {
    const asked = toAsked(request, Buffer.alloc(0))
    requests.push(asked)
    const found = find(channels, asked)
    if (!found) {
      const body = JSON.stringify(failure(409, 'conflict', 'Cannot open the channel "x": not now').json)
      socket.end(`HTTP/1.1 409 Conflict\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`)
      return
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      void found.value(fakeChannel(webSocket), { ...asked, params: found.params })
    })
  })
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))
  return {
    socketPath,
    host: `unix://${socketPath}`,
    requests,
    on: (route, handler) => void routes.set(route, handler),
    onChannel: (route, handler) => void channels.set(`GET ${route}`, handler),
    async [Symbol.asyncDispose]() {
      for (const client of sockets.clients) client.terminate()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function toAsked(request: IncomingMessage, body: Buffer): Asked {
  const url = new URL(request.url ?? '/', 'http://fake')
  return {
    method: request.method ?? '',
    path: url.pathname,
    query: url.searchParams,
    headers: request.headers,
    params: [],
    body,
    json: () => JSON.parse(body.toString('utf8')) as unknown,
  }
}

function find<T>(routes: ReadonlyMap<string, T>, { method, path }: Asked): { value: T; params: string[] } | undefined {
  for (const [route, value] of [...routes].toReversed()) {
    const [verb, pattern] = route.split(' ') as [string, string]
    const match = new RegExp(`^${pattern.replaceAll(/:\w+/g, '([^/]+)')}$`).exec(path)
    if (verb === method && match) return { value, params: match.slice(1).map(decodeURIComponent) }
  }
  return undefined
}

function fakeChannel(socket: WebSocket): FakeChannel {
  const arrived: ({ stdin: string } | { control: Record<string, unknown> } | undefined)[] = []
  let wake = () => {}
  socket.on('message', (data: Buffer) => {
    const rest = data.subarray(1).toString('utf8')
    arrived.push(data[0] === 0 ? { stdin: rest } : { control: JSON.parse(rest) as Record<string, unknown> })
    wake()
  })
  socket.on('close', () => {
    arrived.push(undefined)
    wake()
  })
  const send = (kind: number, bytes: Uint8Array) => socket.send(Buffer.concat([Uint8Array.of(kind), bytes]))
  return {
    socket,
    send: (stream, data) => send(stream === 'stdout' ? 1 : 2, Buffer.from(data as string)),
    control: (control) => send(3, Buffer.from(JSON.stringify(control))),
    async next() {
      while (arrived.length === 0) await new Promise<void>((resolve) => (wake = resolve))
      return arrived.shift()
    },
    close: () => socket.close(),
  }
}
