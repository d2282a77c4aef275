/**
 * Threads of a server, which share its port (SO_REUSEPORT). They listen by themselves and speak in messages; one that ends is
 * started again. So what machines read never waits for the control loop, nor this for them.
 */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { AppError, explain, type ErrorCode } from '../base/errors.ts'
import type { Fields, Log } from '../base/log.ts'
import { aborted, type Task } from '../base/task.ts'
import { bindUdp, listenTcp, type Where } from './listen.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** What every thread says beside its own. */
export type ThreadNews =
  | { readonly kind: 'listening' }
  | { readonly kind: 'cannot-listen'; readonly code: ErrorCode; readonly why: string }
  | { readonly kind: 'log'; readonly level: LogLevel; readonly event: string; readonly fields: Fields }

/** What every thread understands beside its own: close all, then end. */
export interface StopThread {
  readonly kind: 'stop'
}

export interface ThreadsOptions<News> {
  /** As the log calls the server: `NBD`. */
  readonly name: string
  readonly log: Log
  readonly address: string
  readonly port: number
  readonly transport: 'tcp' | 'udp'
  readonly count: number
  readonly start: () => Worker
  readonly hear: (worker: Worker, news: News) => void
}

export interface Threads {
  /** Those that run now. */
  readonly workers: ReadonlySet<Worker>
  /** Runs them until the signal aborts. @throws {AppError} conflict, forbidden or unreachable when they cannot listen */
  run(signal: AbortSignal, ready: () => void): Promise<void>
}

const RESTART_MS = { first: 200, most: 30_000 } as const
/** How long a thread may take to end. */
const STOP_MS = 2000

/** One less than there are cores, which is left to the control loop; 1 to 4. */
export function threadCount(): number {
  return Math.min(Math.max(availableParallelism() - 1, 1), 4)
}

export function createThreads<News extends { readonly kind: string }>(options: ThreadsOptions<News>): Threads {
  const { name, log, address, port, transport, count } = options
  const workers = new Set<Worker>()

  /** Runs one thread after the other, until the signal aborts. @throws when the first cannot listen */
  async function keepThread(signal: AbortSignal, ready: () => void): Promise<void> {
    for (let pauseMs: number = RESTART_MS.first, hasListened = false; ;) {
      const startedMs = performance.now()
      const { code, why } = await runThread(signal, () => {
        if (!hasListened) ready()
        hasListened = true
      })
      if (signal.aborted) return
      if (!hasListened) throw new AppError(code, why)
      log.error(`${name} thread ended and is started again`, { why })
      if (performance.now() - startedMs > RESTART_MS.most) pauseMs = RESTART_MS.first
      await delay(pauseMs, undefined, { signal }).catch(() => undefined)
      pauseMs = Math.min(pauseMs * 2, RESTART_MS.most)
    }
  }

  /** @returns why it ended */
  async function runThread(
    signal: AbortSignal,
    onListening: () => void,
  ): Promise<{ readonly code: ErrorCode; readonly why: string }> {
    const worker = options.start()
    workers.add(worker)
    let lastResort: NodeJS.Timeout | undefined
    const stop = (): void => {
      worker.postMessage({ kind: 'stop' } satisfies StopThread)
      lastResort = setTimeout(() => void worker.terminate(), STOP_MS)
    }
    signal.addEventListener('abort', stop, { once: true })
    try {
      let ended: { code: ErrorCode; why: string } = { code: 'internal', why: 'it ended by itself' }
      await new Promise<void>((resolve) => {
        worker.on('error', (error) => (ended = { code: 'internal', why: explain(error) }))
        worker.on('exit', () => resolve())
        worker.on('message', (news: ThreadNews | News) => {
          if (!isThreadNews(news)) options.hear(worker, news)
          else if (news.kind === 'listening') onListening()
          else if (news.kind === 'cannot-listen') ended = news
          else log[news.level](news.event, news.fields)
        })
        if (signal.aborted) stop()
      })
      return ended
    } finally {
      clearTimeout(lastResort)
      signal.removeEventListener('abort', stop)
      workers.delete(worker)
    }
  }

  return {
    workers,
    async run(signal, ready) {
      await checkPort(name, transport, { host: address, port })
      const stop = new AbortController()
      const all = AbortSignal.any([signal, stop.signal])
      let left = count
      const onReady = (): void => {
        left -= 1
        if (left !== 0) return
        log.info(`serving ${name}`, { address, port, threads: count })
        ready()
      }
      const running = Array.from({ length: count }, () => keepThread(all, onReady))
      try {
        await Promise.race([aborted(signal), ...running])
      } finally {
        stop.abort()
        await Promise.allSettled(running)
      }
    },
  }
}

/** Threads as a task. */
export function threadsTask(name: string, threads: Threads): Task {
  return { name, run: threads.run }
}

/** Runs the task of a thread, and tells the thread that started it how it begins. */
export async function serveThread(task: Task, signal: AbortSignal, send: (news: ThreadNews) => void): Promise<void> {
  try {
    await task.run(signal, () => send({ kind: 'listening' }))
  } catch (error) {
    send(cannotListen(error))
  }
}

/** What a thread says that cannot begin. */
export function cannotListen(error: unknown): ThreadNews {
  return { kind: 'cannot-listen', code: error instanceof AppError ? error.code : 'internal', why: explain(error) }
}

/** A log whose lines are messages to the thread that started this one. Fields must be plain data. */
export function messageLog(send: (news: ThreadNews) => void, own: Fields = {}): Log {
  const line =
    (level: LogLevel) =>
    (event: string, fields: Fields = {}): void =>
      send({ kind: 'log', level, event, fields: { ...own, ...fields } })
  return {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    with: (fields) => messageLog(send, { ...own, ...fields }),
  }
}

function isThreadNews(news: { readonly kind: string }): news is ThreadNews {
  return news.kind === 'listening' || news.kind === 'cannot-listen' || news.kind === 'log'
}

/**
 * Sockets that share a port would also share it with another server of ours, and each would get some of the machines.
 * @throws {AppError} conflict, when somebody listens there; forbidden, unreachable
 */
async function checkPort(name: string, transport: 'tcp' | 'udp', where: Where): Promise<void> {
  if (transport === 'udp') {
    await using probe = createSocket('udp4')
    return await bindUdp(name, probe, where)
  }
  await using probe = createServer()
  await listenTcp(name, probe, where)
}
