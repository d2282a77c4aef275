/**
 * The NBD server: threads that share a port (SO_REUSEPORT), each with connections of its own, so that what machines read never
 * waits for the control loop, nor this for them. Here is only who knows which token opens what.
 */
import { createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { aborted, type Task } from '../../base/task.ts'
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
const RESTART_MS = { first: 200, most: 30_000 } as const
/** Short-lived objects are all that a thread makes. */
const YOUNG_MB = 8
/** How long a thread may take to end. */
const STOP_MS = 2000
/** How long a thread may take to answer a question of ours. */
const ANSWER_MS = 5000

interface Thread {
  readonly worker: Worker
  /** By connection. */
  readonly sessions: Map<number, { readonly token: string; readonly address: string; readonly sinceMs: number }>
}

type Reply = Extract<FromThread, { kind: 'touched' | 'counts' }>

export function createNbdServer(options: NbdServerOptions): NbdServer {
  const { log, open } = options
  const size = options.threads > 0 ? options.threads : Math.min(Math.max(availableParallelism() - 1, 1), 4)
  const limits = { ...LIMITS, ...options.limits }
  const orders: ThreadOrders = {
    address: options.address,
    port: options.port,
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? 10_000,
    stallTimeoutMs: options.stallTimeoutMs ?? 60_000,
  }
  const startThread = options.startThread ?? startNbdThread
  const threads = new Set<Thread>()
  const waiting = new Map<number, (reply: Reply | undefined) => void>()
  let lastAsk = 0

  const post = ({ worker }: Thread, message: ToThread): void => worker.postMessage(message)
  const postAll = (message: ToThread): void => threads.forEach((thread) => post(thread, message))

  /** Runs one thread after the other, until the signal aborts. @throws when the first cannot listen */
  async function keepThread(signal: AbortSignal, ready: () => void): Promise<void> {
    for (let pauseMs: number = RESTART_MS.first, hasListened = false; ;) {
      const startedMs = performance.now()
      const why = await runThread(signal, () => {
        hasListened = true
        ready()
      })
      if (signal.aborted) return
      if (!hasListened) throw new AppError('conflict', why)
      log.error('NBD thread ended and is started again', { why })
      if (performance.now() - startedMs > RESTART_MS.most) pauseMs = RESTART_MS.first
      await delay(pauseMs, undefined, { signal }).catch(() => undefined)
      pauseMs = Math.min(pauseMs * 2, RESTART_MS.most)
    }
  }

  /** @returns why it ended */
  async function runThread(signal: AbortSignal, onListening: () => void): Promise<string> {
    const thread: Thread = { worker: startThread(orders), sessions: new Map() }
    threads.add(thread)
    const { worker } = thread
    let lastResort: NodeJS.Timeout | undefined
    const stop = (): void => {
      post(thread, { kind: 'stop' })
      lastResort = setTimeout(() => void worker.terminate(), STOP_MS)
    }
    signal.addEventListener('abort', stop, { once: true })
    try {
      let why = 'it ended by itself'
      await new Promise<void>((resolve) => {
        worker.on('error', (error) => (why = explain(error)))
        worker.on('exit', () => resolve())
        worker.on('message', (message: FromThread) => {
          if (message.kind === 'listening') onListening()
          else if (message.kind === 'cannot-listen') why = message.why
          else hear(thread, message)
        })
        if (signal.aborted) stop()
      })
      return why
    } finally {
      clearTimeout(lastResort)
      signal.removeEventListener('abort', stop)
      threads.delete(thread)
    }
  }

  function hear(thread: Thread, message: Exclude<FromThread, { kind: 'listening' | 'cannot-listen' }>): void {
    switch (message.kind) {
      case 'ask':
        void judge(thread, message).then((verdict) => post(thread, { kind: 'verdict', ask: message.ask, verdict }))
        return
      case 'ended':
        thread.sessions.delete(message.connection)
        return
      case 'touched':
      case 'counts':
        waiting.get(message.ask)?.(message)
        return
      case 'log':
        return log[message.level](message.event, message.fields)
      default:
        message satisfies never
    }
  }

  async function judge(thread: Thread, question: Extract<FromThread, { kind: 'ask' }>): Promise<Verdict> {
    const { token, address, connection, isSession } = question
    const all = [...threads].flatMap((one) => [...one.sessions.values()])
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
      thread.sessions.set(connection, { token, address, sinceMs: performance.now() })
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
    const own = [...threads].flatMap((thread) =>
      [...thread.sessions]
        .filter(([, one]) => one.token === token)
        .map(([connection, { sinceMs }]) => ({ thread, connection, sinceMs })),
    )
    if (own.length < limits.perToken) return
    const { thread, connection } = own.toSorted((a, b) => a.sinceMs - b.sinceMs)[0]!
    thread.sessions.delete(connection)
    post(thread, { kind: 'end', connection })
  }

  /** Asks all threads. One that ends meanwhile has nothing to say. */
  async function askAll(message: (ask: number) => ToThread): Promise<readonly Reply[]> {
    const replies = [...threads].map(async (thread) => {
      const ask = ++lastAsk
      const { promise, resolve } = Promise.withResolvers<Reply | undefined>()
      const giveUp = (): void => resolve(undefined)
      const timer = setTimeout(giveUp, ANSWER_MS)
      thread.worker.once('exit', giveUp)
      waiting.set(ask, resolve)
      post(thread, message(ask))
      const reply = await promise
      clearTimeout(timer)
      thread.worker.off('exit', giveUp)
      waiting.delete(ask)
      return reply
    })
    return (await Promise.all(replies)).filter((reply) => reply !== undefined)
  }

  return {
    task: {
      name: 'nbd',
      async run(signal, ready) {
        await checkPort(orders)
        const stop = new AbortController()
        const all = AbortSignal.any([signal, stop.signal])
        let left = size
        const onReady = (): void => {
          left -= 1
          if (left !== 0) return
          log.info('serving NBD', { address: orders.address, port: orders.port, threads: size })
          ready()
        }
        const running = Array.from({ length: size }, () => keepThread(all, once(onReady)))
        try {
          await Promise.race([aborted(signal), ...running])
        } finally {
          stop.abort()
          await Promise.allSettled(running)
        }
      },
    },
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
        addresses: [
          ...new Set(
            [...threads].flatMap(({ sessions }) =>
              [...sessions.values()].filter((one) => one.token === token).map(({ address }) => address),
            ),
          ),
        ],
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

/**
 * Sockets that share a port would also share it with another server of ours, and each would get some of the machines.
 * @throws {AppError} conflict, when somebody listens there
 */
async function checkPort({ address, port }: ThreadOrders): Promise<void> {
  const probe = createServer()
  await new Promise<void>((resolve, reject) => {
    probe.once('error', (cause) =>
      reject(new AppError('conflict', `Cannot listen on nbd://${address}:${port}: ${cause.message}`, { cause })),
    )
    probe.listen(port, address, resolve)
  })
  await new Promise((resolve) => probe.close(resolve))
}

function once(work: () => void): () => void {
  let isDone = false
  return () => {
    if (isDone) return
    isDone = true
    work()
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
