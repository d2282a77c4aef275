/** The thread's end of layer-threads.ts: one layer at a time, bytes by message. */
import { parentPort } from 'node:worker_threads'
import { AppError, explain, type ErrorCode } from '../../base/errors.ts'
import { ingestLayer, type Feed, type IngestJob, type Ingested } from './ingest.ts'

export type ToWorker =
  | { readonly kind: 'job'; readonly job: IngestJob }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'end' }
  /** The source failed; whoever sent this knows why. */
  | { readonly kind: 'stop' }

export type FromWorker =
  /** Feed me, from this byte on. */
  | { readonly kind: 'start'; readonly offset: number }
  /** One more message of bytes was taken. */
  | { readonly kind: 'taken' }
  | { readonly kind: 'arrived' }
  | { readonly kind: 'done'; readonly result: Ingested }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string; readonly detail: string | undefined }

class Stopped extends Error {}

/** Messages as a feed: what was not yet asked for waits here. */
class MessageFeed implements Feed {
  readonly #queue: (Uint8Array | 'end' | 'stop')[] = []
  #wake: (() => void) | undefined

  push(item: Uint8Array | 'end' | 'stop'): void {
    this.#queue.push(item)
    this.#wake?.()
    this.#wake = undefined
  }

  start(offset: number): void {
    send({ kind: 'start', offset })
  }

  async next(): Promise<Uint8Array | undefined> {
    while (this.#queue.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve))
    const item = this.#queue[0]!
    if (item === 'stop') throw new Stopped('the source failed')
    if (item === 'end') return undefined
    this.#queue.shift()
    send({ kind: 'taken' })
    return item
  }
}

function send(message: FromWorker): void {
  parentPort!.postMessage(message)
}

let feed = new MessageFeed()

parentPort?.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'job':
      feed = new MessageFeed()
      void run(message.job, feed)
      return
    case 'bytes':
      return feed.push(message.bytes)
    case 'end':
    case 'stop':
      return feed.push(message.kind)
    default:
      message satisfies never
  }
})

async function run(job: IngestJob, from: Feed): Promise<void> {
  try {
    send({ kind: 'done', result: await ingestLayer(job, from, () => send({ kind: 'arrived' })) })
  } catch (error) {
    const code = error instanceof AppError ? error.code : 'internal'
    const message = error instanceof AppError ? error.message : `Cannot store ${job.name}: ${explain(error)}`
    const cause = error instanceof AppError && error.cause !== undefined ? explain(error.cause) : undefined
    send({ kind: 'failed', code, message, detail: cause })
  }
}
