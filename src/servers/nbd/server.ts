/** The NBD server: threads, each with connections of its own. Here is only who knows which token opens what. */
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Task } from '../../base/task.ts'
import { createThreads, threadCount, threadsTask } from '../threads.ts'
import type { DeviceFiles, FromThread, ThreadOrders, TokenCounts, ToThread, Verdict } from './messages.ts'
import { mergeTouched, type Touched } from './touches.ts'

export type { DeviceFiles } from './messages.ts'
export type { Touch, Touched } from './touches.ts'

export interface NbdServerOptions {
  readonly log: Log
  readonly address: string
  readonly port: number
  /** How many threads serve; 0: one less than there are cores, which is left to the control loop, 1 to 4. */
  readonly threads: number
  /**
   * What a token opens for this address, or undefined. Asked once for each connection, and once more where a client looks first.
   */
  readonly open: (token: string, address: string) => Promise<DeviceFiles | undefined>
  readonly handshakeTimeoutMs?: number
  /** How long a client may leave unread what it asked for, or a machine bytes unacknowledged. */
  readonly stallTimeoutMs?: number
  readonly limits?: Partial<NbdLimits>
  /** By default `startNbdThread`. */
  readonly startThread?: (orders: ThreadOrders) => Worker
}

export interface NbdLimits {
  /** Sessions at one time: in all; from one address; of one token, of which the oldest makes room for the next. */
  readonly total: number
  readonly perAddress: number
  readonly perToken: number
}

/** What a token has been used for so far. */
export interface NbdSessions extends TokenCounts {
  readonly addresses: readonly string[]
}

export interface NbdServer {
  readonly task: Task
  /** Ends all sessions of a token, as when its machine is switched off; it may open new ones. */
  drop(token: string): void
  /** Ends all sessions of a token and throws away what was counted and noted. */
  forget(token: string): void
  /** What was read of a token's export, in order of first reads, block by block; empty where nothing is noted. */
  touched(token: string): Promise<Touched>
  /** Each token that was used since it was last forgotten. */
  sessions(): Promise<readonly NbdSessions[]>
}

const LIMITS: NbdLimits = { total: 4096, perAddress: 256, perToken: 32 }
/** A name that opens nothing is answered this long after it was asked for, however it was found out. */
const UNKNOWN_AFTER_MS = 100
/** Longer names are none of ours; they are refused like any other. */
const MAX_TOKEN_LENGTH = 256
/** Short-lived objects are all that a thread makes. */
const YOUNG_MB = 8
/** How long a thread may take to answer a question of ours. */
const ANSWER_MS = 5000

interface Session {
  readonly token: string
  readonly address: string
  readonly sinceMs: number
}

type Reply = Extract<FromThread, { kind: 'touched' | 'counts' }>

export function createNbdServer(options: NbdServerOptions): NbdServer {
  const { log, open } = options
  const limits = { ...LIMITS, ...options.limits }
  const orders: ThreadOrders = {
    address: options.address,
    port: options.port,
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? 10_000,
    stallTimeoutMs: options.stallTimeoutMs ?? 60_000,
  }
  const startThread = options.startThread ?? startNbdThread
  /** Sessions of each thread, by connection. */
  const sessions = new WeakMap<Worker, Map<number, Session>>()
  const waiting = new Map<number, (reply: Reply | undefined) => void>()
  let lastAsk = 0

  const { address, port } = options
  const count = options.threads > 0 ? options.threads : threadCount()
  const start = (): Worker => startThread(orders)
  const threads = createThreads<FromThread>({ name: 'NBD', log, address, port, transport: 'tcp', count, start, hear })
  const post = (thread: Worker, message: ToThread): void => thread.postMessage(message)
  const postAll = (message: ToThread): void => threads.workers.forEach((thread) => post(thread, message))
  const sessionsOf = (thread: Worker): Map<number, Session> => {
    const known = sessions.get(thread) ?? new Map<number, Session>()
    sessions.set(thread, known)
    return known
  }
  const allSessions = () =>
    [...threads.workers].flatMap((thread) =>
      [...sessionsOf(thread)].map(([connection, session]) => ({ thread, connection, ...session })),
    )

  function hear(thread: Worker, message: FromThread): void {
    switch (message.kind) {
      case 'ask':
        void judge(thread, message).then((verdict) => post(thread, { kind: 'verdict', ask: message.ask, verdict }))
        return
      case 'ended':
        sessionsOf(thread).delete(message.connection)
        return
      case 'touched':
      case 'counts':
        waiting.get(message.ask)?.(message)
        return
      default:
        message satisfies never
    }
  }

  async function judge(thread: Worker, question: Extract<FromThread, { kind: 'ask' }>): Promise<Verdict> {
    const { token, address, connection, isSession } = question
    const all = allSessions()
    // Before the name is looked at, so that nothing is learned from it.
    if (all.length >= limits.total || all.filter((one) => one.address === address).length >= limits.perAddress) {
      log.debug('NBD connection refused', { address, why: `${all.length} sessions in all` })
      return { kind: 'full' }
    }
    const answeredMs = performance.now() + UNKNOWN_AFTER_MS
    const files = token.length > MAX_TOKEN_LENGTH ? undefined : await lookUp(token, address)
    if (files === undefined) {
      await delay(answeredMs - performance.now())
      log.debug('NBD export refused', { address })
      return { kind: 'unknown' }
    }
    if (isSession) {
      retireOldest(token)
      sessionsOf(thread).set(connection, { token, address, sinceMs: performance.now() })
    }
    return { kind: 'device', files }
  }

  async function lookUp(token: string, address: string): Promise<DeviceFiles | undefined> {
    try {
      return await open(token, address)
    } catch (error) {
      log.error('NBD export cannot be looked up', { address, why: explain(error) })
      return undefined
    }
  }

  /** A machine has some connections. If it has many, it lost the older ones in a way that nobody has noticed yet. */
  function retireOldest(token: string): void {
    const own = allSessions().filter((one) => one.token === token)
    if (own.length < limits.perToken) return
    const { thread, connection } = own.toSorted((a, b) => a.sinceMs - b.sinceMs)[0]!
    sessionsOf(thread).delete(connection)
    post(thread, { kind: 'end', connection })
  }

  /** Asks all threads. One that ends meanwhile has nothing to say. */
  async function askAll(message: (ask: number) => ToThread): Promise<readonly Reply[]> {
    const replies = [...threads.workers].map(async (thread) => {
      const ask = ++lastAsk
      const { promise, resolve } = Promise.withResolvers<Reply | undefined>()
      const giveUp = (): void => resolve(undefined)
      const timer = setTimeout(giveUp, ANSWER_MS)
      thread.once('exit', giveUp)
      waiting.set(ask, resolve)
      post(thread, message(ask))
      const reply = await promise
      clearTimeout(timer)
      thread.off('exit', giveUp)
      waiting.delete(ask)
      return reply
    })
    return (await Promise.all(replies)).filter((reply) => reply !== undefined)
  }

  return {
    task: threadsTask('nbd', threads),
    drop: (token) => postAll({ kind: 'drop', token }),
    forget: (token) => postAll({ kind: 'forget', token }),
    async touched(token) {
      const replies = await askAll((ask) => ({ kind: 'touched', ask, token }))
      return mergeTouched(replies.flatMap((reply) => (reply.kind === 'touched' ? [reply.touched] : [])))
    },
    async sessions() {
      const replies = await askAll((ask) => ({ kind: 'counts', ask }))
      const byToken = Map.groupBy(
        replies.flatMap((reply) => (reply.kind === 'counts' ? reply.counts : [])),
        ({ token }) => token,
      )
      return [...byToken].map(([token, counts]) => ({
        token,
        connections: sum(counts.map(({ connections }) => connections)),
        requests: sum(counts.map(({ requests }) => requests)),
        bytesSent: sum(counts.map(({ bytesSent }) => bytesSent)),
        addresses: [...new Set(allSessions().flatMap((one) => (one.token === token ? [one.address] : [])))],
      }))
    },
  }
}

/** A thread that listens by itself and then speaks in messages. */
export function startNbdThread(orders: ThreadOrders): Worker {
  return new Worker(new URL('./thread.ts', import.meta.url), {
    name: 'nbd',
    workerData: orders,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
  })
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
