/** One request to one BMC and its answer: never another host, a bound on its length and on its time. */
import { gunzipSync } from 'node:zlib'
import { Agent, type Dispatcher, request } from 'undici'
import { AppError, systemCode } from '../../../base/errors.ts'
import { bodyOf, isPlainHttpAnswer } from '../../http-answers.ts'
import { Distrust, trustingConnector, type Trust } from './trust.ts'

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE'

export interface Question {
  readonly method: Method
  /** On this BMC; begins with a slash. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The JSON of its body; undefined when it has none. */
  readonly body: unknown
}

export interface ExchangeOptions {
  /** `https://host[:port]`. */
  readonly origin: string
  /** For messages. */
  readonly address: string
  readonly trust: Trust
  /** How long one exchange may take, milliseconds. */
  readonly timeoutMs: number
  /** How long an answer may be, bytes. */
  readonly maxAnswerBytes: number
}

/** A body that was cut off or is no JSON. It may be whole at the next try. */
export class GarbledAnswer extends AppError {}

const MAX_REDIRECTS = 3
/** Failures after which the request was certainly not sent. */
const NOT_SENT = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPROTO',
  'UND_ERR_CONNECT_TIMEOUT',
])

export interface Exchange extends AsyncDisposable {
  /**
   * Asks, and yields the answer whatever its status. GETs follow redirects to the same origin.
   * @throws {AppError} `unreachable` and `timeout` without an answer; `bad_peer` for a redirect elsewhere, an answer that is too
   * long, and a certificate that is not trusted
   * @throws {GarbledAnswer}
   */
  ask(question: Question, signal?: AbortSignal): Promise<Answer>
}

export function openExchange(options: ExchangeOptions): Exchange {
  const { origin, address, timeoutMs } = options
  const agent = new Agent({
    connections: 1,
    pipelining: 1,
    maxHeaderSize: 32 << 10,
    // BMCs close idle connections early, and a request that meets such a close is lost.
    keepAliveTimeout: 2000,
    keepAliveMaxTimeout: 4000,
    connect: trustingConnector(options.trust, address, timeoutMs),
  })

  return {
    async ask(question, signal) {
      const doing = `Cannot ${question.method} "${question.path}" on BMC "${address}"`
      const deadline = AbortSignal.timeout(timeoutMs)
      const all = signal ? AbortSignal.any([signal, deadline]) : deadline
      try {
        return await follow(question, doing, all)
      } catch (cause) {
        if (cause instanceof AppError) throw cause
        signal?.throwIfAborted()
        if (deadline.aborted) throw new AppError('timeout', `${doing}: no answer in ${timeoutMs} ms`, { cause })
        throw unreachable(doing, cause)
      }
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  }

  async function follow(question: Question, doing: string, signal: AbortSignal): Promise<Answer> {
    let path = question.path
    for (let redirects = 0; ; redirects++) {
      const answer = await once({ ...question, path }, doing, signal)
      if (answer.status < 300 || answer.status > 399 || answer.status === 304) return answer
      const to = target(answer.headers['location'], path)
      if (question.method !== 'GET' || redirects === MAX_REDIRECTS || to === undefined)
        throw new AppError('bad_peer', `${doing}: it redirects (${answer.status}) where it must not`)
      path = to
    }
  }

  /** The path of a redirect on this very origin. */
  function target(location: string | undefined, from: string): string | undefined {
    if (location === undefined || !URL.canParse(location, origin + from)) return undefined
    const url = new URL(location, origin + from)
    return url.origin === new URL(origin).origin ? url.pathname + url.search : undefined
  }

  async function once(question: Question, doing: string, signal: AbortSignal): Promise<Answer> {
    const hasBody = question.body !== undefined
    const answer = await request(origin + question.path, {
      dispatcher: agent,
      method: question.method,
      signal,
      headers: {
        accept: 'application/json',
        'odata-version': '4.0',
        ...(hasBody ? { 'content-type': 'application/json' } : {}),
        ...question.headers,
      },
      ...(hasBody ? { body: JSON.stringify(question.body) } : {}),
    })
    const headers = singles(answer.headers)
    const bytes = await bodyOf(answer, options.maxAnswerBytes, doing)
    return {
      status: answer.statusCode,
      headers,
      body: parse(bytes, headers['content-encoding'], answer.statusCode, doing),
    }
  }

  /** Bodies of refusals are for people: what is no JSON there is as good as none. */
  function parse(bytes: Uint8Array, encoding: string | undefined, status: number, doing: string): unknown {
    if (bytes.length === 0) return undefined
    try {
      const plain = encoding === 'gzip' ? gunzipSync(bytes, { maxOutputLength: options.maxAnswerBytes }) : bytes
      return JSON.parse(new TextDecoder().decode(plain)) as unknown
    } catch (cause) {
      if (status >= 300 || status === 204) return undefined
      throw new GarbledAnswer('bad_peer', `${doing}: its answer is no JSON`, { cause })
    }
  }
}

/** Whether a request that failed so was certainly not sent. */
export function wasNotSent(error: unknown): boolean {
  if (error instanceof Distrust) return true
  const code = error instanceof AppError ? systemCode(error.cause) : undefined
  return code !== undefined && (NOT_SENT.has(code) || /^ERR_(SSL|TLS)_/.test(code))
}

function singles(headers: Dispatcher.ResponseData['headers']): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]),
  )
}

function unreachable(doing: string, cause: unknown): AppError {
  if (isPlainHttpAnswer(cause))
    return new Distrust(
      'unreachable',
      `${doing}: what answers there is no TLS; for a BMC without, write redfish+http://`,
    )
  const help = 'check its address, cabling, and that its web service is enabled'
  return new AppError('unreachable', `${doing}: it cannot be reached; ${help}`, { cause })
}
