/**
 * HTTP(S) to one BMC, whatever it speaks over it: one connection to whom it trusts, paced, bounded answers, no way to another host,
 * and failures told apart by whether the request may have arrived.
 */
import { Readable } from 'node:stream'
import { Agent, request } from 'undici'
import { sleep } from '../../base/clock.ts'
import { AppError, systemCode } from '../../base/errors.ts'
import { isPlainHttpAnswer } from '../http-answers.ts'
import { Distrust, type Trust, trustingConnector } from './trust.ts'

export interface WebOptions {
  /** `https://10.0.3.7:443` or `http://`, without a path. */
  readonly origin: string
  /** For messages: `BMC "10.0.3.7:443"`. */
  readonly peer: string
  /** Default: authorities that this system knows. */
  readonly trust?: Trust | undefined
  /** How long a request may take, milliseconds. */
  readonly timeoutMs: number
  /** How long an answer may be, bytes; default 1 MiB. */
  readonly maxAnswerBytes?: number
  /** Least time between an answer and the next request, milliseconds: some BMCs freeze under a series of them. Default 0. */
  readonly paceMs?: number
  /** GETs follow redirects on the same origin, three at most, and any other redirect is a NoAnswer; default: a redirect is an answer. */
  readonly followsRedirects?: boolean
  /** How the URL of such a BMC begins where it has no TLS, for a message. */
  readonly plainScheme?: string
  readonly observe?: WebObserver | undefined
  /** Answers in the BMC's place: nothing goes over the network. */
  readonly play?: WebPlay | undefined
}

export interface WebRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** On this BMC, with its query; begins with a slash. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | AsyncIterable<Uint8Array> | undefined
  /** It changes nothing, so that it is sent once more, as it is, when its connection broke. */
  readonly isSafe?: boolean
  /** Instead of the options' one, milliseconds. */
  readonly timeoutMs?: number
}

export interface WebAnswer {
  readonly status: number
  /** By lower-case name, as often as it came. */
  readonly headers: Readonly<Record<string, readonly string[]>>
  readonly bytes: Uint8Array
}

/** One request and what came of it: an answer or an error. */
export interface WebExchange {
  readonly origin: string
  /** As it was sent: headers and body hold what logs in, and whoever keeps them has to mask it. */
  readonly request: WebRequest
  readonly answer?: WebAnswer
  readonly error?: unknown
  readonly tookMs: number
}

/** Is shown every exchange with a BMC, redirects and repetitions one by one. Must not throw. */
export type WebObserver = (exchange: WebExchange) => void

/** @throws {AppError} as the request would */
export type WebPlay = (request: WebRequest) => WebAnswer

/**
 * The request was sent, or may have been, and no answer came that can be used: it may have been done. `timeout`, `unreachable` when the
 * connection broke, `bad_peer`.
 */
export class NoAnswer extends AppError {}

/** Whether a connection broke: BMCs close those that they have not used for a while. */
export function isBroken(error: unknown): boolean {
  return error instanceof NoAnswer && error.code === 'unreachable'
}

const MAX_ANSWER_BYTES = 1 << 20
const MAX_HEADER_BYTES = 32 << 10
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

export interface Web {
  /**
   * Sends a request and reads the whole answer, whatever its status.
   * @throws {Distrust} when whoever answers is not known to be the BMC; nothing was sent
   * @throws {AppError} `unreachable` when it was certainly not sent
   * @throws {NoAnswer} when it may have arrived
   */
  ask(asked: WebRequest, signal?: AbortSignal): Promise<WebAnswer>
  [Symbol.asyncDispose](): Promise<void>
}

/** Nothing is sent before the first request. */
export function openWeb({ origin, peer, timeoutMs, observe, ...options }: WebOptions): Web {
  const { maxAnswerBytes = MAX_ANSWER_BYTES, paceMs = 0 } = options
  const agent = new Agent({
    connections: 1,
    pipelining: 1,
    maxHeaderSize: MAX_HEADER_BYTES,
    maxResponseSize: maxAnswerBytes,
    // BMCs close idle connections early, and a request that meets such a close is lost.
    keepAliveTimeout: 2000,
    keepAliveMaxTimeout: 4000,
    connect: trustingConnector(options.trust ?? { kind: 'authorities' }, peer, timeoutMs),
  })
  let lastMs = -Infinity

  return {
    async ask(asked, signal) {
      try {
        return await follow(asked, signal)
      } catch (error) {
        if (asked.isSafe !== true || !isBroken(error)) throw error
        return follow(asked, signal)
      }
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  }

  async function follow(asked: WebRequest, signal?: AbortSignal): Promise<WebAnswer> {
    let { path } = asked
    for (let redirects = 0; ; redirects++) {
      const answer = await observed({ ...asked, path }, signal)
      const isRedirect = answer.status >= 300 && answer.status <= 399 && answer.status !== 304
      if (!isRedirect || options.followsRedirects !== true) return answer
      const to = sameOrigin(answer.headers['location']?.[0], path)
      if (asked.method !== 'GET' || redirects === MAX_REDIRECTS || to === undefined)
        throw new NoAnswer('bad_peer', `${doing(asked)}: it redirects (${answer.status}) where it must not`)
      path = to
    }
  }

  /** The path of a redirect on this very origin. */
  function sameOrigin(location: string | undefined, from: string): string | undefined {
    if (location === undefined || !URL.canParse(location, origin + from)) return undefined
    const url = new URL(location, origin + from)
    return url.origin === new URL(origin).origin ? url.pathname + url.search : undefined
  }

  async function observed(asked: WebRequest, signal?: AbortSignal): Promise<WebAnswer> {
    const waitMs = lastMs + paceMs - performance.now()
    if (waitMs > 0) await sleep(waitMs, signal)
    const startMs = performance.now()
    const show = (came: Pick<WebExchange, 'answer' | 'error'>): void =>
      observe?.({ origin, request: asked, tookMs: performance.now() - startMs, ...came })
    try {
      const answer = await once(asked, signal)
      show({ answer })
      return answer
    } catch (error) {
      show({ error })
      throw error
    } finally {
      lastMs = performance.now()
    }
  }

  async function once(asked: WebRequest, signal?: AbortSignal): Promise<WebAnswer> {
    const { method, path, headers = {}, body } = asked
    if (options.play) return options.play(asked)
    const ms = asked.timeoutMs ?? timeoutMs
    const deadline = AbortSignal.timeout(ms)
    try {
      const answer = await request(origin + path, {
        method,
        dispatcher: agent,
        signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
        headers,
        body: body === undefined || body instanceof Uint8Array ? (body ?? null) : Readable.from(body),
      })
      const bytes = new Uint8Array(await answer.body.arrayBuffer())
      return { status: answer.statusCode, headers: lists(answer.headers), bytes }
    } catch (cause) {
      signal?.throwIfAborted()
      throw failure(doing(asked), cause, deadline.aborted ? ms : undefined)
    }
  }

  function doing({ method, path }: WebRequest): string {
    return `Cannot ${method} "${path.replace(/\?.*/s, '')}" on ${peer}`
  }

  /** @param lateMs how long it took, when that was too long */
  function failure(what: string, cause: unknown, lateMs: number | undefined): AppError {
    if (cause instanceof AppError) return cause
    const code = systemCode(cause) ?? ''
    if (isPlainHttpAnswer(cause)) {
      const help = options.plainScheme === undefined ? '' : `; for a BMC without, write ${options.plainScheme}`
      return new Distrust('unreachable', `${what}: what answers there is no TLS${help}`, { cause })
    }
    if (NOT_SENT.has(code) || /^ERR_(SSL|TLS)_/.test(code)) {
      const help = 'check its address, cabling, and that its web service is enabled'
      return new AppError('unreachable', `${what}: it cannot be reached; ${help}`, { cause })
    }
    if (lateMs !== undefined) return new NoAnswer('timeout', `${what}: no answer in ${lateMs} ms`, { cause })
    if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE')
      return new NoAnswer('bad_peer', `${what}: its answer is longer than ${maxAnswerBytes} bytes`, { cause })
    return new NoAnswer('unreachable', `${what}: the connection broke before the answer`, { cause })
  }
}

function lists(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, readonly string[]> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value = []]) => [name, Array.isArray(value) ? value : [value]]),
  )
}
