/** The ways in which the API is called: one answer, octets both ways, lines, progress, a channel. What each route is stands beside this. */
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { AppError, ERROR_CODES, type ErrorCode } from '../base/errors.ts'
import type { LogChunk, Progress } from '../model/api.ts'
import type { Channel } from './channel.ts'
import type { Endpoint } from './endpoint.ts'
import { parseJson, readEvents, readNdjson } from './lines.ts'
import { lost, requestJson, requestStream, type Query, type RequestOptions } from './transport.ts'

export interface Signalled {
  readonly signal?: AbortSignal
}
/** What is imported: octets from here, or an address that the server fetches. */
export type Source = { readonly body: Readable } | { readonly url: string }
export interface LogQuery extends Signalled {
  readonly follow?: boolean
  readonly sinceMs?: number
  readonly tail?: number
  readonly stdout?: boolean
  readonly stderr?: boolean
  readonly console?: boolean
}
/** Octets on their way here; a transfer that breaks off throws. */
export interface Download {
  /** Undefined where the server does not know it beforehand. */
  readonly sizeBytes: number | undefined
  readonly bytes: AsyncIterable<Uint8Array>
}
/** Told of each step while something long runs. */
export type OnProgress = (progress: Progress) => void

export type Calls = ReturnType<typeof createCalls>

export function createCalls(endpoint: Endpoint) {
  const ask = <T>(method: string, path: string, options?: RequestOptions) =>
    requestJson<T>(endpoint, method, path, options)
  const stream = (path: string, options: RequestOptions) => requestStream(endpoint, 'GET', path, options)
  const arriving = (body: IncomingMessage, signal: AbortSignal | undefined): Download => {
    const length = body.headers['content-length']
    return {
      sizeBytes: length === undefined ? undefined : Number(length),
      bytes: watched(body as AsyncIterable<Uint8Array>, endpoint, body, signal),
    }
  }
  const download = async (path: string, query: Query, { signal }: Signalled): Promise<Download> =>
    arriving(await stream(path, { query, ...pick(signal) }), signal)
  /** What is made of what is sent. */
  const upload = async (path: string, body: Readable, query: Query, { signal }: Signalled): Promise<Download> =>
    arriving(await requestStream(endpoint, 'POST', path, { query, body, ...pick(signal) }), signal)
  const octets = async (path: string, query: Query, options: Signalled): Promise<AsyncIterable<Uint8Array>> =>
    (await download(path, query, options)).bytes
  const channel = async (path: string, query: Query, { signal }: Signalled): Promise<Channel> => {
    // ws is loaded by the few commands that need it.
    const { openChannel } = await import('./channel.ts')
    return openChannel(endpoint, path, { query, ...(signal ? { signal } : {}) })
  }
  async function* jsonLines<T>(path: string, json: unknown, { signal }: Signalled): AsyncGenerator<T, void, undefined> {
    const options = { json, accept: 'application/x-ndjson', ...pick(signal) }
    const body = await requestStream(endpoint, 'POST', path, options)
    for await (const line of watched(readNdjson(body), endpoint, body, signal)) yield line as T
  }
  async function* logChunks(
    path: string,
    query: Query,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<LogChunk, void, undefined> {
    const body = await stream(path, { query, accept: 'application/x-ndjson', ...pick(signal) })
    for await (const chunk of watched(readNdjson(body), endpoint, body, signal)) yield chunk as LogChunk
  }
  /** Server-sent events, as they are named and with what they hold. */
  async function* events(
    path: string,
    query: Query,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<[name: string, value: unknown], void, undefined> {
    const body = await stream(path, { query, accept: 'text/event-stream', ...pick(signal) })
    for await (const { event, data } of watched(readEvents(body), endpoint, body, signal))
      yield [event, parseJson(data, `event "${event}"`)]
  }
  const follow = <T>(method: string, path: string, options: RequestOptions, onProgress: OnProgress) =>
    followProgress<T>(endpoint, method, path, options, onProgress)
  return { ask, download, upload, octets, channel, jsonLines, logChunks, events, follow }
}

/** A route; `name` may be anything that a person typed. */
export function at(collection: string, name: string, rest?: string): string {
  // encodeURIComponent leaves dots alone, and `..` would climb out of the route.
  if (/^\.*$/.test(name))
    throw new AppError('not_found', `Cannot find "${name}" in ${collection}: it is not a name or id`)
  return `/v1/${collection}/${encodeURIComponent(name)}${rest === undefined ? '' : `/${rest}`}`
}

export function pick(signal: AbortSignal | undefined): Signalled {
  return signal ? { signal } : {}
}

export function payload(source: Source): RequestOptions {
  return 'url' in source ? { json: { url: source.url } } : { body: source.body }
}

/** Passes values on; a broken connection becomes an AppError, and the body is let go however reading ends. */
async function* watched<T>(
  source: AsyncIterable<T>,
  endpoint: Endpoint,
  body: IncomingMessage,
  signal: AbortSignal | undefined,
): AsyncGenerator<T, void, undefined> {
  const values = source[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await values.next().catch((cause: unknown) => {
        signal?.throwIfAborted()
        throw body.errored ? lost(cause, endpoint) : cause
      })
      if (next.done === true) return
      yield next.value
    }
  } finally {
    body.destroy()
  }
}

/** Follows a progress stream to its end: `done` is the result, `error` is thrown. */
async function followProgress<T>(
  endpoint: Endpoint,
  method: string,
  path: string,
  options: RequestOptions,
  onProgress: OnProgress,
): Promise<T> {
  const body = await requestStream(endpoint, method, path, { accept: 'text/event-stream', ...options })
  for await (const { event, data } of watched(readEvents(body), endpoint, body, options.signal)) {
    const value = parseJson(data, `event "${event}"`)
    if (event === 'progress') onProgress(value as Progress)
    else if (event === 'done') return value as T
    else if (event === 'error') throw streamError(value)
  }
  throw lost(undefined, endpoint)
}

function streamError(value: unknown): AppError {
  const error = (value as { error?: { code?: unknown; message?: unknown } } | null)?.error
  const code = typeof error?.code === 'string' && Object.hasOwn(ERROR_CODES, error.code) ? error.code : 'internal'
  return new AppError(
    code as ErrorCode,
    typeof error?.message === 'string' ? error.message : 'the server gave no reason',
  )
}
