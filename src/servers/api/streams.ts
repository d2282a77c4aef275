/** Answers that go on: server-sent events, lines of JSON, octets. */
import type { Context } from 'hono'
import { explain } from '../../base/errors.ts'
import { errorBodyOf } from './router.ts'

const encoder = new TextEncoder()
/** A comment that keeps idle connections and proxies awake. */
const HEARTBEAT_MS = 15_000

/** Sends one event of a stream of server-sent events. */
export type SendEvent = (event: string, data: unknown, id?: number) => void

/**
 * A `text/event-stream` answer. It ends when `work` has; a failure becomes one last event `error`.
 * @param work gets a signal that aborts when the client has gone
 */
export function eventStream(work: (send: SendEvent, signal: AbortSignal) => Promise<void>): Response {
  const gone = new AbortController()
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      const write = (text: string): void => {
        if (!gone.signal.aborted) controller.enqueue(encoder.encode(text))
      }
      const send: SendEvent = (event, data, id) =>
        write(`event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`)
      const heartbeat = setInterval(() => write(': still here\n\n'), HEARTBEAT_MS)
      void work(send, gone.signal)
        .catch((error: unknown) => {
          if (!gone.signal.aborted) send('error', errorBodyOf(error))
        })
        .finally(() => {
          clearInterval(heartbeat)
          if (!gone.signal.aborted) controller.close()
          gone.abort()
        })
    },
    cancel: () => gone.abort(),
  })
  return new Response(stream, { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } })
}

/** What the server puts into the environment of a request. */
export interface TransferEnv {
  /** Ends the connection without ending the answer, and tells the log why. */
  readonly breakOff: (error: unknown) => void
}

/** One JSON object a line, as they come. */
export function jsonLines(c: Context, lines: (signal: AbortSignal) => AsyncIterable<unknown>): Response {
  return octets(
    c,
    async function* (signal) {
      for await (const line of lines(signal)) yield encoder.encode(`${JSON.stringify(line)}\n`)
    },
    'application/x-ndjson',
  )
}

/** Bytes as they come. A failure in the middle breaks the transfer off, so that nobody takes half for the whole. */
export function octets(
  c: Context,
  bytes: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
  type = 'application/octet-stream',
  sizeBytes?: number,
): Response {
  const gone = new AbortController()
  const { breakOff } = (c.env ?? {}) as Partial<TransferEnv>
  const iterator = bytes(gone.signal)[Symbol.asyncIterator]()
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { value, done } = await iterator.next()
        if (done) controller.close()
        else controller.enqueue(value)
      } catch (error) {
        if (gone.signal.aborted || !breakOff)
          controller.error(error instanceof Error ? error : new Error(explain(error)))
        else breakOff(error)
      }
    },
    async cancel() {
      gone.abort()
      await iterator.return?.()
    },
  })
  const length = sizeBytes === undefined ? {} : { 'content-length': String(sizeBytes) }
  return new Response(stream, { headers: { 'content-type': type, ...length } })
}
