/**
 * The thin loop around `answer`. Packets that wait are decided together, their lease changes committed in one transaction, and only
 * then are the replies sent: a lease is durable before its ACK, at the price of one fsync per batch, not per client.
 */
import { explain, WireError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { aborted, type Task } from '../../base/task.ts'
import { describe, parsePacket, serializePacket, type Packet } from '../../wire/dhcp/packet.ts'
import type { OptionName } from '../../wire/dhcp/options.ts'
import { answer } from './answer.ts'
import type { BootDirectory } from './boot.ts'
import { createLeaseBook, type LeaseBook } from './lease-book.ts'
import type { Lease, LeaseChange, LeaseStore } from './lease.ts'
import type { Context } from './question.ts'
import type { Answer, DhcpEvent } from './reply.ts'
import { addressOf, openUdpPort, type UdpPort } from './socket.ts'
import { openSubnet, type SubnetConfig } from './subnet.ts'

export interface DhcpServerDeps {
  readonly log: Log
  readonly directory: BootDirectory
  readonly store: LeaseStore
  /** Wall clock, milliseconds since the epoch; only for what is stored. */
  readonly nowMs: () => number
  readonly onEvent: (event: DhcpEvent) => void
  /** Opens the socket; `openUdpPort` if nothing is said. */
  readonly openPort?: (interfaceName: string, port: number) => Promise<UdpPort>
}

export interface DhcpServerConfig {
  readonly interfaceName: string
  /** Our address on the interface, where it is not the first that the interface has. */
  readonly serverAddress?: string
  readonly subnets: readonly SubnetConfig[]
  /** Relays whose address lies outside of all subnets. */
  readonly relays?: readonly string[]
  readonly isAuthoritative?: boolean
  readonly servesUnknown?: boolean
}

export interface DhcpHealth {
  readonly isHealthy: boolean
  readonly why?: string
  /** Packets that were dropped because too many waited. */
  readonly dropped: number
}

export interface DhcpServer {
  readonly task: Task
  health(): DhcpHealth
  /** Leases as they are now, ends by the wall clock. */
  leases(): Lease[]
}

/** Packets that may wait for one batch; more are dropped, the client asks again. */
const MAX_WAITING = 4096
/** Options that a reply can do without when it does not fit, least important first. */
const DISPENSABLE: readonly OptionName[] = ['hostName', 'domainName', 'ntpServer', 'broadcastAddress', 'tftpServerName']

/**
 * A DHCP server on one interface, as a task. Nothing is opened before it runs.
 * @throws {AppError} invalid, when a subnet is not well configured
 */
export function createDhcpServer(config: DhcpServerConfig, deps: DhcpServerDeps): DhcpServer {
  const subnets = config.subnets.map(openSubnet)
  const { log, store } = deps
  const clock = createSteadyClock(deps.nowMs)
  let book = createLeaseBook()
  let trouble: string | undefined
  let dropped = 0

  const contextAt = (serverAddress: string): Context => ({
    serverAddress,
    subnets,
    relays: config.relays ?? [],
    leases: book,
    directory: deps.directory,
    nowMs: clock.steadyMs(),
    isAuthoritative: config.isAuthoritative ?? false,
    servesUnknown: config.servesUnknown ?? true,
  })

  const commit = async (changes: readonly LeaseChange[]): Promise<boolean> => {
    try {
      await store.commit(changes.map(({ kind, lease }) => ({ kind, lease: clock.toWall(lease) })))
      if (trouble !== undefined) log.info('leases can be stored again')
      trouble = undefined
      return true
    } catch (error) {
      if (trouble === undefined) log.error('leases cannot be stored, so none is given', { why: explain(error) })
      trouble = `leases cannot be stored: ${explain(error)}`
      return false
    }
  }

  const sendAll = (decided: readonly Decided[], socket: UdpPort) => {
    for (const { answer: said } of decided) {
      if ('send' in said) {
        const bytes = encode(said.send, said.maxBytes)
        const fields = { packet: () => describe(said.send) }
        if (!bytes) log.warn('reply does not fit', { packet: fields.packet(), maxBytes: said.maxBytes })
        else
          socket.send(bytes, said.to.port, said.to.address, (error) =>
            log.warn('reply not sent', { packet: fields.packet(), to: said.to.address, why: error.message }),
          )
      }
      for (const event of said.events) deps.onEvent(event)
    }
  }

  const serve = async (batch: readonly Uint8Array[], socket: UdpPort, serverAddress: string) => {
    const context = contextAt(serverAddress)
    const decided = batch.flatMap((bytes) => decide(bytes, context, book, log) ?? [])
    const lasting = decided.filter(({ durable }) => durable.length > 0)
    sendAll(
      decided.filter(({ durable }) => durable.length === 0),
      socket,
    )
    if (lasting.length === 0) return
    if (await commit(lasting.flatMap(({ durable }) => durable))) return sendAll(lasting, socket)
    for (const { undo } of decided.toReversed()) undo()
  }

  return {
    task: {
      name: `dhcp ${config.interfaceName}`,
      async run(signal, ready) {
        const serverAddress = config.serverAddress ?? (await addressOf(config.interfaceName))
        book = createLeaseBook(store.load().map((lease) => clock.toSteady(lease, subnets)))
        await using socket = await (deps.openPort ?? openUdpPort)(config.interfaceName, 67)
        if (!socket.isBound)
          log.warn('listening on all interfaces: this Node cannot bind to one', { interface: config.interfaceName })
        log.info('serving DHCP', { interface: config.interfaceName, serverAddress, leases: book.size })
        const failed = new Promise<never>((_, reject) => socket.onError(reject))
        const queue = createBatchQueue((batch) => serve(batch, socket, serverAddress))
        socket.onMessage((bytes) => {
          if (!queue.push(bytes)) dropped++
        })
        ready()
        await Promise.race([aborted(signal), failed, queue.failed])
        await queue.close()
      },
    },
    health: () => ({ isHealthy: trouble === undefined, dropped, ...(trouble !== undefined && { why: trouble }) }),
    leases: () => Array.from(book.all(), clock.toWall),
  }
}

interface Decided {
  readonly answer: Answer
  /** Changes that must be in the store before the reply is sent. */
  readonly durable: readonly LeaseChange[]
  readonly undo: () => void
}

/** Decides on one packet and notes its changes in the book. Never throws: one bad packet must not stop the others. */
function decide(bytes: Uint8Array, context: Context, book: LeaseBook, log: Log): Decided | undefined {
  let packet: Packet | undefined
  try {
    packet = parsePacket(bytes)
    const said = answer(packet, context)
    if ('ignore' in said) log.debug('ignored', { why: said.ignore, packet: describe(packet) })
    const undo = book.apply(said.changes)
    return { answer: said, durable: said.changes.filter(({ lease }) => lease.state !== 'offered'), undo }
  } catch (error) {
    if (error instanceof WireError) log.debug('ignored', { why: error.message })
    else log.error('fault while answering a DHCP packet', { why: explain(error), packet: bytes.toHex() })
    return undefined
  }
}

/** The reply within `maxBytes`, without what it can do without if need be; undefined when it fits in no way. */
function encode(packet: Packet, maxBytes: number): Uint8Array | undefined {
  for (let without = 0; without <= DISPENSABLE.length; without++) {
    const options = { ...packet.options }
    for (const name of DISPENSABLE.slice(0, without)) delete options[name]
    try {
      return serializePacket({ ...packet, options }, maxBytes)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
    }
  }
  return undefined
}

/**
 * Gathers what arrives until the event loop has read all that waits, and while the batch before is being served.
 * @param serve one batch; never called again before it is done
 */
function createBatchQueue(serve: (batch: readonly Uint8Array[]) => Promise<void>) {
  let waiting: Uint8Array[] = []
  let isScheduled = false
  let running = Promise.resolve()
  let isClosed = false
  const { promise: failed, reject } = Promise.withResolvers<never>()
  const run = () => {
    running = (async () => {
      while (waiting.length > 0 && !isClosed) {
        const batch = waiting
        waiting = []
        await serve(batch)
      }
      isScheduled = false
    })().catch(reject)
  }
  return {
    /** Rejects when serving fails. */
    failed,
    push(bytes: Uint8Array): boolean {
      if (waiting.length >= MAX_WAITING || isClosed) return false
      waiting.push(bytes)
      if (!isScheduled) {
        isScheduled = true
        setImmediate(run)
      }
      return true
    },
    /** Waits for the batch that is being served. */
    async close(): Promise<void> {
      isClosed = true
      await running
    },
  }
}

/**
 * Leases run on a clock that no time setting moves, so that a jump of the wall clock ends none; stored ends are those of the wall clock.
 */
function createSteadyClock(nowMs: () => number) {
  const offsetMs = nowMs() - performance.now()
  const steadyMs = () => offsetMs + performance.now()
  return {
    steadyMs,
    toWall: (lease: Lease): Lease => ({ ...lease, expiresAtMs: Math.round(nowMs() + lease.expiresAtMs - steadyMs()) }),
    /** No lease has longer to run than it was ever given, whatever the wall clock says. */
    toSteady(lease: Lease, subnets: readonly { readonly leaseSeconds: number }[]): Lease {
      const longestMs = 1000 * Math.max(3600, ...subnets.map((subnet) => subnet.leaseSeconds))
      const leftMs = Math.min(lease.expiresAtMs - nowMs(), longestMs)
      return { ...lease, expiresAtMs: steadyMs() + leftMs }
    },
  }
}
