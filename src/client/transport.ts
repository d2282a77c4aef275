/**
 * Requests to the server, over its Unix socket or TCP. On node:http, which is there without loading anything: the start of
 * the command line counts, and neither a long poll nor a followed log must meet a default timeout.
 */
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import { pipeline } from 'node:stream/promises'
import type { Readable } from 'node:stream'
import { AppError, ERROR_CODES, systemCode, type ErrorCode } from '../base/errors.ts'
import type { ErrorBody } from '../model/api.ts'
import { describeEndpoint, type Endpoint } from './endpoint.ts'
import { parseJson } from './lines.ts'

export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>

export interface RequestOptions {
  readonly query?: Query
  readonly json?: unknown
  /** Octets to send; the content type is then application/octet-stream. */
  readonly body?: Readable
  readonly accept?: string
  readonly signal?: AbortSignal
}

/** The largest JSON answer that is read into memory, bytes. */
const JSON_LIMIT_BYTES = 256 * 1024 * 1024

/**
 * Asks and yields the whole answer, parsed. The server is ours: its shapes are taken as the model says.
 * @throws {AppError} what the server answered, or unreachable
 */
export async function requestJson<T>(
  endpoint: Endpoint,
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<T> {
  const response = await requestStream(endpoint, method, path, { accept: 'application/json', ...options })
  const text = await readText(response, endpoint, options.signal)
  return (text === '' ? undefined : parseJson(text, `the answer to ${method} ${path}`)) as T
}

/**
 * Asks and yields the answer's body as a stream; the caller reads or destroys it.
 * @throws {AppError} what the server answered, or unreachable
 */
export async function requestStream(
  endpoint: Endpoint,
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<IncomingMessage> {
  const response = await send(endpoint, method, path, options)
  const status = response.statusCode ?? 0
  if (status >= 200 && status < 300) return response
  throw answerError(status, await readText(response, endpoint, options.signal), endpoint)
}

/** The path of a request with its query. */
export function target(path: string, query: Query = {}): string {
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query))
    if (Array.isArray(value)) for (const one of value) search.append(key, String(one))
    else if (value !== undefined) search.append(key, String(value))
  const text = search.toString()
  return text === '' ? path : `${path}?${text}`
}

/** The AppError that an answer which is not 2xx stands for. */
export function answerError(status: number, text: string, endpoint: Endpoint): AppError {
  const body = errorBody(text)
  if (body) return new AppError(body.error.code, body.error.message)
  const row = Object.entries(ERROR_CODES).find(([, { http }]) => http === status)
  return new AppError(
    (row?.[0] as ErrorCode | undefined) ?? 'bad_peer',
    `Cannot use the server at "${describeEndpoint(endpoint)}": it answered with HTTP status ${status} and no reason; is it a bareboat server?`,
  )
}

/** What a failed connection means to the person asking. */
export function connectionError(cause: unknown, endpoint: Endpoint): AppError {
  const where = describeEndpoint(endpoint)
  const code = systemCode(cause)
  if (code === 'EACCES' || code === 'EPERM')
    return new AppError(
      'forbidden',
      `Cannot reach the bareboat server at "${where}": permission denied on its socket`,
      {
        cause,
      },
    )
  return new AppError(
    'unreachable',
    `Cannot reach the bareboat server at "${where}": ${connectionState(code, cause)}`,
    {
      cause,
    },
  )
}

function connectionState(code: string | undefined, cause: unknown): string {
  // It was there when the question was asked: a server that ends, not one that nobody started.
  if (code === 'ECONNRESET' || code === 'EPIPE') return 'the connection broke before an answer; is it still running?'
  const help = 'start it with: bareboat server'
  if (code === 'ENOENT') return `there is no such socket; ${help}`
  if (code === 'ECONNREFUSED') return `the connection was refused; ${help}`
  return `the connection failed (${code ?? (cause instanceof Error ? cause.message : String(cause))}); ${help}`
}

/** Headers that go with every request. */
export function credentials(endpoint: Endpoint): Record<string, string> {
  return endpoint.kind === 'tcp' && endpoint.token !== undefined ? { authorization: `Bearer ${endpoint.token}` } : {}
}

function send(endpoint: Endpoint, method: string, path: string, options: RequestOptions): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const text = options.json === undefined ? undefined : JSON.stringify(options.json)
  const headers: Record<string, string | number> = { ...credentials(endpoint), accept: options.accept ?? '*/*' }
  if (text !== undefined) {
    headers['content-type'] = 'application/json'
    headers['content-length'] = Buffer.byteLength(text)
  } else if (options.body) headers['content-type'] = 'application/octet-stream'
  const request = open(endpoint, method, target(path, options.query), headers, options.signal)
  let isAnswered = false
  const fail = (cause: unknown) => {
    // A server that refuses an upload answers and hangs up: its answer counts, not the broken pipe.
    if (isAnswered) return
    reject(options.signal?.aborted === true ? asError(options.signal.reason) : connectionError(cause, endpoint))
  }
  request.on('response', (response) => {
    isAnswered = true
    resolve(response)
  })
  request.on('error', fail)
  if (options.body) sendBody(options.body, request, reject)
  else request.end(text)
  return promise
}

function sendBody(body: Readable, request: ClientRequest, reject: (cause: unknown) => void): void {
  body.once('error', (cause) => reject(cause))
  pipeline(body, request).catch(() => {
    // The request's own error event, or the body's, has said it.
  })
}

function open(
  endpoint: Endpoint,
  method: string,
  path: string,
  headers: Record<string, string | number>,
  signal: AbortSignal | undefined,
): ClientRequest {
  const common = { method, path, headers, agent: false as const, ...(signal ? { signal } : {}) }
  if (endpoint.kind === 'unix') return httpRequest({ ...common, socketPath: endpoint.path, host: 'localhost' })
  const base = endpoint.url.pathname.replace(/\/$/, '')
  const options = { ...common, path: base + path, hostname: bareHost(endpoint.url), port: endpoint.url.port }
  // TLS is loaded only where it is spoken.
  const isTls = endpoint.url.protocol === 'https:'
  return isTls ? process.getBuiltinModule('node:https').request(options) : httpRequest(options)
}

/** An IPv6 address loses the brackets that it has in a URL. */
function bareHost(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1')
}

async function readText(response: IncomingMessage, endpoint: Endpoint, signal?: AbortSignal): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > JSON_LIMIT_BYTES)
        throw new AppError('bad_peer', `Cannot read an answer: over ${JSON_LIMIT_BYTES} bytes`)
      chunks.push(chunk)
    }
  } catch (cause) {
    if (cause instanceof AppError) throw cause
    throw signal?.aborted === true ? asError(signal.reason) : lost(cause, endpoint)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The connection broke while an answer was on its way. */
export function lost(cause: unknown, endpoint: Endpoint): AppError {
  const message = `Cannot go on: the connection to the bareboat server at "${describeEndpoint(endpoint)}" broke; is it still running?`
  return new AppError('unreachable', message, { cause })
}

function errorBody(text: string): ErrorBody | undefined {
  try {
    const body: unknown = JSON.parse(text)
    const error = (body as ErrorBody | null)?.error
    return error && typeof error.message === 'string' && Object.hasOwn(ERROR_CODES, error.code)
      ? (body as ErrorBody)
      : undefined
  } catch {
    return undefined
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason))
}
