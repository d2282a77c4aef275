/** Listens for the API: on a unix socket whose file mode says who may, and on TCP with a token. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { chmod, mkdir, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import { dirname } from 'node:path'
import type { Duplex } from 'node:stream'
import { getRequestListener } from '@hono/node-server'
import type { OpenAPIHono } from '@hono/zod-openapi'
import { WebSocketServer } from 'ws'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { aborted, type Task } from '../../base/task.ts'
import { Channel } from './channel.ts'
import { channelAt, type ChannelDeps } from './channels.ts'
import { errorResponse } from './router.ts'

export interface ApiServerOptions extends ChannelDeps {
  readonly log: Log
  readonly app: OpenAPIHono
  readonly socketPath: string
  /** Undefined: the socket only. */
  readonly tcp?: { readonly address: string; readonly port: number; readonly token: string }
}

/** A message on a channel may be as large as this; output is cut smaller. */
const MAX_MESSAGE_BYTES = 4 << 20

export function createApiServer(options: ApiServerOptions): Task {
  const { log, app, socketPath, tcp } = options
  return {
    name: 'api',
    async run(signal, ready) {
      await using stack = new AsyncDisposableStack()
      await mkdir(dirname(socketPath), { recursive: true, mode: 0o700 })
      await refuseSecondServer(socketPath)
      await rm(socketPath, { force: true })
      const local = stack.use(open(() => true))
      await listen(local.server, { path: socketPath })
      await chmod(socketPath, 0o600)
      stack.defer(() => rm(socketPath, { force: true }))
      if (tcp) {
        const remote = stack.use(open(bearer(tcp.token)))
        await listen(remote.server, { host: tcp.address, port: tcp.port })
        log.info('api listens', { address: tcp.address, port: tcp.port })
      }
      ready()
      await aborted(signal)
    },
  }

  function open(isAllowed: (request: IncomingMessage) => boolean): { server: Server } & AsyncDisposable {
    const listener = getRequestListener((request) => app.fetch(request))
    const server = createServer(
      { headersTimeout: 15_000, requestTimeout: 0, maxHeaderSize: 65_536 },
      (request, response) => {
        if (isAllowed(request) || isPublic(request)) return void listener(request, response)
        const refusal = errorResponse(new AppError('unauthorized', 'Cannot answer: the token is missing or wrong'))
        response.writeHead(refusal.status, { 'content-type': 'application/json', 'www-authenticate': 'Bearer' })
        void refusal.text().then((text) => response.end(text))
      },
    )
    const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES })
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      if (!isAllowed(request) || request.headers.origin !== undefined)
        return void socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n')
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        const channel = new Channel(webSocket)
        serve(channel, new URL(request.url ?? '/', 'http://api')).catch((error: unknown) =>
          log.error('channel broken', { error: explain(error) }),
        )
      })
    })
    const connections = new Set<Socket>()
    server.on('connection', (socket) => {
      connections.add(socket)
      socket.once('close', () => connections.delete(socket))
    })
    return {
      server,
      async [Symbol.asyncDispose]() {
        const closed = new Promise((resolve) => server.close(resolve))
        for (const client of sockets.clients) client.terminate()
        for (const socket of connections) socket.destroy()
        await closed
      },
    }
  }

  async function serve(channel: Channel, url: URL): Promise<void> {
    try {
      await channelAt(options, url)(channel)
      channel.close()
    } catch (error) {
      if (!channel.gone.aborted) await channel.fail(error)
    }
  }
}

/** What answers without a credential: whether we live, and whether we are ready. */
function isPublic(request: IncomingMessage): boolean {
  return request.url === '/healthz' || request.url === '/readyz'
}

function bearer(token: string): (request: IncomingMessage) => boolean {
  const wanted = createHash('sha256').update(`Bearer ${token}`).digest()
  return (request) =>
    timingSafeEqual(
      createHash('sha256')
        .update(request.headers.authorization ?? '')
        .digest(),
      wanted,
    )
}

/** @throws {AppError} conflict when a server answers at the socket */
async function refuseSecondServer(path: string): Promise<void> {
  const answersThere = await new Promise<boolean>((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
  if (answersThere)
    throw new AppError('conflict', `Cannot listen on "${path}": a bareboat server answers there already`)
}

function listen(server: Server, where: { path: string } | { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    const name = 'path' in where ? where.path : `${where.host}:${where.port}`
    server.once('error', (cause) =>
      reject(new AppError('conflict', `Cannot listen on "${name}": ${cause.message}`, { cause })),
    )
    server.listen(where, () => resolve())
  })
}
