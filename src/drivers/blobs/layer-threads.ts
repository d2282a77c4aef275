/** Three threads that take layers in; hashing is what a pull waits for, and one core does about 240 MB/s of it. */
import { Worker } from 'node:worker_threads'
import { AppError } from '../../base/errors.ts'
import type { IngestJob, Ingested } from './ingest.ts'
import type { FromWorker, ToWorker } from './layer-worker.ts'

/** What a job reads from and reports to, on this side. */
export interface JobSource {
  open(offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>
  onProgress(state: 'downloading' | 'verifying', bytes: number): void
}

/** Bytes per message: fewer, larger messages cost less; more are lost when the process is killed. */
const MESSAGE_BYTES = 512 << 10
/** A thread that made a larger index has grown by many times as much, and is not kept. */
const BIG_INDEX_BYTES = 4 << 20
/** What an indexer makes is short-lived: more room for it is not faster, only larger. */
const YOUNG_MB = 6
/** A thread that nothing was asked of for so long ends: each holds about 15 MB. */
const IDLE_MS = 30_000
/** Messages under way to a thread; beyond it the source waits. */
const MESSAGES_AHEAD = 6

export class LayerThreads implements AsyncDisposable {
  readonly #size: number
  readonly #idle: Worker[] = []
  readonly #all = new Set<Worker>()
  readonly #waiting: ((worker: Worker) => void)[] = []
  readonly #idleMs: number
  #idleTimer: NodeJS.Timeout | undefined
  #isClosed = false

  /**
   * @param size how many layers at once; each takes up to 60 MB of memory, and its index
   * @param idleMs how long a thread is kept that has no work
   */
  constructor(size: number = 3, idleMs: number = IDLE_MS) {
    this.#size = size
    this.#idleMs = idleMs
  }

  /** How many threads there are. */
  get count(): number {
    return this.#all.size
  }

  /** Starts threads before there is work, so that the first layer need not wait for them. */
  warm(): void {
    while (!this.#isClosed && this.#all.size < this.#size) this.#rest(this.#spawn())
  }

  /**
   * @throws {AppError} as ingestLayer; what `source` throws; the signal's reason
   */
  async run(job: IngestJob, source: JobSource, signal: AbortSignal): Promise<Ingested> {
    const worker = await this.#acquire(signal)
    try {
      const ingested = await conduct(worker, job, source, signal)
      if (ingested.indexBytes > BIG_INDEX_BYTES) this.#retire(worker)
      return ingested
    } catch (error) {
      this.#retire(worker)
      throw error
    } finally {
      this.#release(worker)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#idleTimer)
    await Promise.all([...this.#all].map((worker) => worker.terminate()))
    this.#all.clear()
  }

  async #acquire(signal: AbortSignal): Promise<Worker> {
    signal.throwIfAborted()
    if (this.#isClosed) throw new AppError('interrupted', 'Cannot store a layer: the store is closed')
    const idle = this.#idle.pop()
    if (idle !== undefined) return ref(idle)
    if (this.#all.size < this.#size) return this.#spawn()
    return new Promise((resolve, reject) => {
      const take = (worker: Worker) => {
        signal.removeEventListener('abort', leave)
        resolve(ref(worker))
      }
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1)
        reject(signal.reason as Error)
      }
      this.#waiting.push(take)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  #spawn(): Worker {
    const worker = new Worker(new URL('./layer-worker.ts', import.meta.url), {
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
      env: workerEnvironment(),
    })
    this.#all.add(worker)
    // A thread that dies is not used again; the job that it had learns of it by its own listeners.
    const gone = () => {
      this.#all.delete(worker)
      const at = this.#idle.indexOf(worker)
      if (at >= 0) this.#idle.splice(at, 1)
    }
    worker.on('error', gone)
    worker.on('exit', gone)
    return worker
  }

  /** A thread's memory is given back only with the thread. */
  #retire(worker: Worker): void {
    this.#all.delete(worker)
    void worker.terminate()
  }

  #release(worker: Worker): void {
    if (!this.#all.has(worker)) {
      const next = this.#waiting.shift()
      if (next !== undefined) next(this.#spawn())
      return
    }
    const next = this.#waiting.shift()
    if (next !== undefined) return next(worker)
    this.#rest(worker)
  }

  #rest(worker: Worker): void {
    worker.unref()
    this.#idle.push(worker)
    clearTimeout(this.#idleTimer)
    this.#idleTimer = setTimeout(() => {
      for (const idle of this.#idle.splice(0)) this.#retire(idle)
    }, this.#idleMs).unref()
  }
}

function ref(worker: Worker): Worker {
  worker.ref()
  return worker
}

/** One job on one thread, from the first message to the last. */
async function conduct(worker: Worker, job: IngestJob, source: JobSource, signal: AbortSignal): Promise<Ingested> {
  const stop = new AbortController()
  const credit = new Credit(MESSAGES_AHEAD, stop.signal)
  const post = (message: ToWorker, transfer: ArrayBuffer[] = []) => worker.postMessage(message, transfer)
  let failure: { readonly error: unknown } | undefined
  let fed: Promise<void> = Promise.resolve()
  let arrivedBytes = 0

  const feed = async (offset: number) => {
    arrivedBytes = offset
    try {
      for await (const bytes of batches(source.open(offset, stop.signal), MESSAGE_BYTES)) {
        await credit.take()
        arrivedBytes += bytes.length
        source.onProgress('downloading', arrivedBytes)
        post({ kind: 'bytes', bytes }, [bytes.buffer])
      }
      post({ kind: 'end' })
    } catch (error) {
      failure ??= { error }
      post({ kind: 'stop' })
    }
  }
  const abort = () => {
    failure ??= { error: signal.reason }
    stop.abort(signal.reason)
    post({ kind: 'stop' })
  }

  const outcome = Promise.withResolvers<Ingested>()
  const onMessage = (message: FromWorker) => {
    switch (message.kind) {
      case 'start':
        fed = feed(message.offset)
        return
      case 'taken':
        return credit.give()
      case 'arrived':
        return source.onProgress('verifying', arrivedBytes)
      case 'done':
        return outcome.resolve(message.result)
      case 'failed':
        // A source that failed is the reason; what the thread made of the missing end is not.
        return outcome.reject(failure === undefined ? asError(message) : failure.error)
      default:
        message satisfies never
    }
  }
  const onError = (cause: unknown) =>
    outcome.reject(new AppError('internal', `Cannot store ${job.name}: its thread ended`, { cause }))
  const onExit = () => onError(undefined)

  worker.on('message', onMessage).on('error', onError).on('exit', onExit)
  signal.addEventListener('abort', abort, { once: true })
  try {
    signal.throwIfAborted()
    post({ kind: 'job', job })
    return await outcome.promise
  } finally {
    signal.removeEventListener('abort', abort)
    worker.off('message', onMessage).off('error', onError).off('exit', onExit)
    stop.abort()
    await fed
  }
}

function asError({ code, message, detail }: Extract<FromWorker, { kind: 'failed' }>): AppError {
  return new AppError(code, message, detail === undefined ? undefined : { cause: new Error(detail) })
}

/** How many messages may still be sent. */
class Credit {
  readonly #signal: AbortSignal
  #left: number
  #wake: (() => void) | undefined

  constructor(left: number, signal: AbortSignal) {
    this.#left = left
    this.#signal = signal
    signal.addEventListener('abort', () => this.#wake?.(), { once: true })
  }

  give(): void {
    this.#left++
    this.#wake?.()
  }

  async take(): Promise<void> {
    while (this.#left === 0 && !this.#signal.aborted) await new Promise<void>((resolve) => (this.#wake = resolve))
    this.#signal.throwIfAborted()
    this.#left--
  }
}

/** The same bytes in pieces of `size`, each in memory of its own, so that they can be handed to a thread. */
export async function* batches(
  source: AsyncIterable<Uint8Array>,
  size: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let batch = new Uint8Array(size)
  let filled = 0
  for await (const part of source)
    for (let at = 0; at < part.length;) {
      const taken = Math.min(size - filled, part.length - at)
      batch.set(part.subarray(at, at + taken), filled)
      at += taken
      filled += taken
      if (filled < size) continue
      yield batch
      batch = new Uint8Array(size)
      filled = 0
    }
  if (filled > 0) yield batch.slice(0, filled)
}

/** Nothing of ours but what Node itself needs. A value that is undefined would arrive as the text `undefined`. */
export function workerEnvironment(): Record<string, string> {
  const { PATH, NODE_COMPILE_CACHE } = process.env
  return {
    ...(PATH === undefined ? {} : { PATH }),
    ...(NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE }),
  }
}
