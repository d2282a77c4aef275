/** One thread's end of the server: its listener, its connections, what it counts. */
import { createServer, type Socket } from 'node:net'
import { explain, WireError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { LINUX, int32, type Libc } from '../libc.ts'
import { listenTcp } from '../listen.ts'
import { createCachedReads } from './cached-reads.ts'
import { Devices } from './device.ts'
import { Gone, shakeHands, type Opening } from './handshake.ts'
import type { ThreadOrders, TokenCounts, Verdict } from './messages.ts'
import { Session, type Tally } from './session.ts'
import { createSlabs } from './slabs.ts'
import { createSocketWrites, descriptorOf } from './socket-writes.ts'
import { createTouches, type Touched, type Touches } from './touches.ts'

export interface ListenerDeps {
  readonly orders: ThreadOrders
  readonly log: Log
  readonly libc: Libc | undefined
  /** Asks who knows. @param connection by which the answer's session is named from then on */
  readonly ask: (question: {
    token: string
    address: string
    connection: number
    isSession: boolean
  }) => Promise<Verdict>
  /** A session is over. */
  readonly onEnded: (connection: number) => void
}

export interface Listener extends AsyncDisposable {
  end(connection: number): void
  drop(token: string): void
  forget(token: string): void
  touched(token: string): Touched
  counts(): TokenCounts[]
}

/** Connections that shake hands at one time; the oldest makes room for the next. */
const MAX_HANDSHAKES = 256
const MAX_HANDSHAKES_PER_ADDRESS = 32
const MAX_CONNECTIONS = 8192
/** Tokens whose counts are kept; those without sessions make room, the oldest first. */
const MAX_TOKENS = 1024
/** A machine that lost power is found out by the kernel: after 10 s of silence it is asked. */
const KEEPALIVE_MS = 10_000
const SWEEP_MS = 5000

interface Connection {
  readonly id: number
  readonly socket: Socket
  readonly address: string
  token?: string
  session?: Session
}

interface Account {
  readonly tally: Tally
  touches?: Touches
  readonly connections: Set<Connection>
}

/** @throws {AppError} conflict, when the port cannot be listened on */
export async function openListener({ orders, log, libc, ask, onEnded }: ListenerDeps): Promise<Listener> {
  const devices = new Devices(libc && createCachedReads(libc))
  const slabs = createSlabs(libc ? libc.addressOf : () => 0n)
  const writes = libc && createSocketWrites(libc)
  const connections = new Map<number, Connection>()
  /** In the order of their begin. */
  const handshakes = new Set<Connection>()
  const accounts = new Map<string, Account>()
  let lastId = 0

  function accept(socket: Socket): void {
    const connection: Connection = { id: ++lastId, socket, address: addressOf(socket) }
    connections.set(connection.id, connection)
    socket.on('error', (error) => log.debug('NBD connection broke', { why: explain(error) }))
    socket.once('close', () => connections.delete(connection.id))
    giveUpUnacknowledged(socket, libc, orders.stallTimeoutMs)
    makeRoom(connection.address)
    handshakes.add(connection)
    serve(connection).catch((error: unknown) => {
      const fields = { address: connection.address, why: explain(error) }
      if (error instanceof WireError || error instanceof Gone) log.debug('NBD connection ended', fields)
      else log.error('NBD connection failed', fields)
      socket.destroy()
    })
  }

  /** Whoever opens connections and says nothing loses them, the oldest first; who shakes hands is through in no time. */
  function makeRoom(address: string): void {
    const ofAddress = [...handshakes].filter((other) => other.address === address)
    if (ofAddress.length >= MAX_HANDSHAKES_PER_ADDRESS) ofAddress[0]!.socket.destroy()
    else if (handshakes.size >= MAX_HANDSHAKES) for (const oldest of handshakes) return void oldest.socket.destroy()
  }

  async function serve(connection: Connection): Promise<void> {
    const { socket, id, address } = connection
    const deadline = setTimeout(() => socket.destroy(), orders.handshakeTimeoutMs)
    const over = (): void => {
      clearTimeout(deadline)
      handshakes.delete(connection)
    }
    socket.once('close', over)
    /** What was opened is given back at the end: several, when a client looked before it read. */
    await using opened = new AsyncDisposableStack()
    const open = async (token: string, isSession: boolean): Promise<Opening> => {
      const verdict = await ask({ token, address, connection: id, isSession })
      if (verdict.kind !== 'device') return verdict
      if (isSession) opened.defer(() => onEnded(id))
      try {
        const device = opened.adopt(await devices.acquire(verdict.files), (held) => devices.release(held))
        if (isSession) {
          const { connections: ofToken } = account(token, verdict.files.record ? device.sizeBytes : undefined)
          ofToken.add(connection)
          opened.defer(() => void ofToken.delete(connection))
        }
        return { kind: 'device', device }
      } catch (error) {
        log.error('NBD export cannot be opened', { address, why: explain(error) })
        return { kind: 'failed' }
      }
    }
    const agreed = await shakeHands(socket, { log: log.with({ address }), open })
    over()
    if (agreed === undefined) return void socket.end()
    const { token, device, hasStructuredReplies, rest } = agreed
    const { tally, touches } = account(token, undefined)
    connection.session = new Session(socket, {
      log: log.with({ address }),
      slabs,
      writes,
      device,
      hasStructuredReplies,
      tally,
      touches,
    })
    log.debug('NBD session begins', { address })
    await connection.session.run(rest)
  }

  /** The account of a token. @param sizeBytes of the export, when what is read of it is noted */
  function account(token: string, sizeBytes: number | undefined): Account {
    let entry = accounts.get(token)
    if (entry === undefined) {
      entry = { tally: { requests: 0, bytesSent: 0 }, connections: new Set() }
      accounts.set(token, entry)
      for (const [other, { connections: open }] of accounts)
        if (accounts.size > MAX_TOKENS && open.size === 0 && other !== token) accounts.delete(other)
    }
    if (sizeBytes !== undefined)
      entry.touches ??= createTouches(sizeBytes, () => performance.timeOrigin + performance.now())
    return entry
  }

  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS }, accept)
  server.maxConnections = MAX_CONNECTIONS
  await listenTcp('NBD', server, { host: orders.address, port: orders.port, reusePort: true, backlog: 4096 })
  const sweep = setInterval(() => {
    const now = performance.now()
    for (const { session, socket, address } of connections.values())
      if (session !== undefined && session.stalledMs(now) > orders.stallTimeoutMs) {
        log.debug('NBD connection ended', { address, why: 'the client does not take its replies' })
        socket.destroy()
      }
  }, SWEEP_MS)
  const drop = (token: string): void => {
    for (const { socket } of accounts.get(token)?.connections ?? []) socket.destroy()
  }

  return {
    end: (id) => void connections.get(id)?.socket.destroy(),
    drop,
    forget(token) {
      drop(token)
      accounts.delete(token)
    },
    touched: (token) => accounts.get(token)?.touches?.list() ?? { touches: [], isComplete: true },
    counts: () =>
      [...accounts].map(([token, { tally, connections: open }]) => ({ token, connections: open.size, ...tally })),
    async [Symbol.asyncDispose]() {
      clearInterval(sweep)
      const closed = new Promise((resolve) => server.close(resolve))
      for (const { socket } of connections.values()) socket.destroy()
      await closed
      await devices[Symbol.asyncDispose]()
    },
  }
}

function addressOf(socket: Socket): string {
  return (socket.remoteAddress ?? '').replace(/^::ffff:/, '')
}

/**
 * Lets the kernel end a connection whose peer has acknowledged nothing for that long (TCP_USER_TIMEOUT, tcp(7)): while bytes are
 * under way it asks no keepalive, and would try again for a quarter of an hour.
 */
function giveUpUnacknowledged(socket: Socket, libc: Libc | undefined, timeoutMs: number): void {
  const fd = descriptorOf(socket)
  if (libc === undefined || fd === undefined) return
  libc.setsockopt(fd, LINUX.IPPROTO_TCP, LINUX.TCP_USER_TIMEOUT, int32(timeoutMs), 4)
}
