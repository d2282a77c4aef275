/** Listens for the API: on a unix socket whose file mode says who may, and on TCP with a token. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { chmod, mkdir, rm } from 'node:fs/promises'
import { createServer, STATUS_CODES, type IncomingMessage, type Server } from 'node:http'
import { connect, type Socket } from 'node:net'
import { dirname } from 'node:path'
import type { Duplex } from 'node:stream'
import { getRequestListener } from '@hono/node-server'
import type { OpenAPIHono } from '@hono/zod-openapi'
import { WebSocketServer } from 'ws'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { aborted, type Task } from '../../base/task.ts'
import { listenTcp } from '../listen.ts'
import { createAttempts } from './attempts.ts'
import { Channel } from './channel.ts'
import { channelAt, type ChannelDeps } from './channels.ts'
import { errorBodyOf } from './router.ts'
import type { TransferEnv } from './streams.ts'

export interface ApiServerOptions extends ChannelDeps {
  readonly log: Log
  readonly app: OpenAPIHono
  readonly socketPath: string
  /** Undefined: the socket only. */
  readonly tcp?: { readonly address: string; readonly port: number; readonly token: string }
}

/** A message on a channel may be as large as this; output is cut smaller. */
const MAX_MESSAGE_BYTES = 4 << 20
const MAX_CONNECTIONS = 4096

export function createApiServer(options: ApiServerOptions): Task {
  const { log, app, socketPath, tcp } = options
  return {
    name: 'api',
    async run(signal, ready) {
      await using stack = new AsyncDisposableStack()
      await mkdir(dirname(socketPath), { recursive: true, mode: 0o700 })
      await refuseSecondServer(socketPath)
      await rm(socketPath, { force: true })
      const local = stack.use(open(() => 'allowed'))
      await listenAt(local.server, socketPath)
      await chmod(socketPath, 0o600)
      stack.defer(() => rm(socketPath, { force: true }))
      if (tcp) {
        const remote = stack.use(open(bearer(tcp.token)))
        await listenTcp('the API', remote.server, { host: tcp.address, port: tcp.port })
        log.info('api listens', { address: tcp.address, port: tcp.port })
      }
      ready()
      await aborted(signal)
    },
  }

  function open(judge: Judge): { server: Server } & AsyncDisposable {
    const listener = getRequestListener((request, { outgoing }) => {
      const breakOff = (error: unknown): void => {
        log.warn('answer broken off', { path: new URL(request.url).pathname, error: explain(error) })
        outgoing.destroy()
      }
      return app.fetch(request, { breakOff } satisfies TransferEnv)
    })
    const server = createServer(
      { headersTimeout: 15_000, requestTimeout: 0, maxHeaderSize: 65_536 },
      (request, response) => {
        const verdict = isPublic(request) ? 'allowed' : judge(request)
        if (verdict === 'allowed') return void listener(request, response)
        const { status, headers, error } = refusal(verdict)
        // Whatever body is on its way is not read.
        response.writeHead(status, { ...headers, 'content-type': 'application/json', connection: 'close' })
        response.end(JSON.stringify(errorBodyOf(error)))
      },
    )
    server.maxConnections = MAX_CONNECTIONS
    const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES })
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on('error', (error) => log.debug('upgrade broken off', { why: explain(error) }))
      const verdict = judge(request)
      // No browser is a client of channels: what carries an origin is a page of somebody else.
      if (verdict !== 'allowed' || request.headers.origin !== undefined) {
        const { status } = refusal(verdict === 'allowed' ? 'wrong' : verdict)
        return void socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`)
      }
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

/** Whether a request may be answered; a number is how many seconds its address has to wait before it may try again. */
type Judge = (request: IncomingMessage) => 'allowed' | 'wrong' | number

function bearer(token: string): Judge {
  const wanted = sha256(`Bearer ${token}`)
  const attempts = createAttempts(Date.now)
  return (request) => {
    const address = request.socket.remoteAddress ?? ''
    const given = request.headers.authorization
    // Without a credential nothing is guessed.
    if (given === undefined) return 'wrong'
    const waitSeconds = attempts.waitSeconds(address)
    if (waitSeconds > 0) return waitSeconds
    if (timingSafeEqual(sha256(given), wanted)) {
      attempts.succeeded(address)
      return 'allowed'
    }
    attempts.failed(address)
    return 'wrong'
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function refusal(verdict: 'wrong' | number): { status: number; headers: Record<string, string>; error: AppError } {
  if (verdict === 'wrong')
    return {
      status: 401,
      headers: { 'www-authenticate': 'Bearer' },
      error: new AppError('unauthorized', 'Cannot answer: the token is missing or wrong'),
    }
  return {
    status: 429,
    headers: { 'retry-after': String(verdict) },
    error: new AppError('unauthorized', `Cannot answer: too many wrong tokens; try again in ${verdict} s`),
  }
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

function listenAt(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new AppError('conflict', `Cannot listen on "${path}": ${cause.message}`, { cause })),
    )
    server.listen(path, () => resolve())
  })
}
