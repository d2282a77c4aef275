/** One HTTP exchange: redirects by our rules, bounded bodies, retries of what may pass. */
import { type Dispatcher, errors, request } from 'undici'
import { sleep } from '../../base/clock.ts'
import { AppError, systemCode } from '../../base/errors.ts'
import { isAbort } from '../../base/task.ts'
import type { Dispatchers, HostOrigin, TlsOptions } from './dispatch.ts'

export interface HttpRequest {
  readonly url: URL
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** Who named the host. Default: a person. */
  readonly origin?: HostOrigin
}

/** Sends a request and yields the final answer, whatever its status; redirects are followed. */
export type Send = (request: HttpRequest) => Promise<Dispatcher.ResponseData>

const MAX_REDIRECTS = 5
const MAX_RETRY_AFTER_MS = 60_000

/**
 * A Send bound to one registry's TLS options.
 *
 * Authorization goes to the origin that it was made for and to no other: a redirect to another scheme, host or port loses it
 * (CVE-2020-15157). A redirect from https to http is refused.
 */
export function sender(
  dispatchers: Dispatchers,
  tls: TlsOptions,
  { allowHere, signal }: { allowHere: boolean; signal: AbortSignal },
): Send {
  return async ({ url: start, method, headers: startHeaders, body, origin: startOrigin = 'named' }) => {
    let url = start
    let origin = startOrigin
    let headers = startHeaders
    for (let redirects = 0; ; redirects++) {
      const dispatcher = dispatchers.for(url, tls, origin, allowHere)
      const answer = await request(url, {
        dispatcher,
        method,
        headers,
        signal,
        ...(body === undefined ? {} : { body }),
      })
      const to = answer.headers.location
      if (answer.statusCode < 300 || answer.statusCode > 399 || answer.statusCode === 304 || typeof to !== 'string')
        return answer
      await answer.body.dump().catch(() => {})
      if (redirects === MAX_REDIRECTS || body !== undefined)
        throw new AppError('bad_peer', `Cannot fetch from "${start.host}": too many redirects`)
      const next = redirectTarget(url, to)
      if (originOf(next) !== originOf(url)) {
        headers = withoutAuthorization(headers)
        origin = 'peer'
      }
      url = next
    }
  }
}

function redirectTarget(from: URL, location: string): URL {
  if (!URL.canParse(location, from))
    throw new AppError('bad_peer', `Cannot fetch from "${from.host}": it redirects to what is no URL`)
  const to = new URL(location, from)
  if (to.protocol !== 'https:' && (to.protocol !== 'http:' || from.protocol === 'https:'))
    throw new AppError(
      'forbidden',
      `Cannot fetch from "${from.host}": it redirects from https to ${to.protocol}//${to.host}`,
    )
  to.username = ''
  to.password = ''
  return to
}

function withoutAuthorization(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization'))
}

/** Scheme, host and port: what a credential is bound to. */
export function originOf(url: URL): string {
  return url.origin
}

/** The whole body. @throws {AppError} bad_peer when it is longer than `maxBytes` */
export async function bodyOf(answer: Dispatcher.ResponseData, maxBytes: number, doing: string): Promise<Uint8Array> {
  const parts: Buffer[] = []
  let length = 0
  for await (const part of answer.body as AsyncIterable<Buffer>) {
    length += part.length
    // Leaving the loop destroys the body and with it the connection.
    if (length > maxBytes) throw new AppError('bad_peer', `${doing}: its answer is longer than ${maxBytes} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** Whether a status may be gone at the next try. */
export function isPassing(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505)
}

/** Whether a failure without an answer may be gone at the next try: the connection broke, or nobody answered. */
export function isConnectionFailure(error: unknown): boolean {
  if (error instanceof AppError) return false
  const code = systemCode(error)
  if (code === 'ENOTFOUND' || code?.startsWith('ERR_TLS') || code?.startsWith('CERT_') || isCertificateProblem(code))
    return false
  return (
    error instanceof errors.UndiciError ||
    (code !== undefined && /^(E(CONN|PIPE|TIMEDOUT|HOSTUNREACH|NETUNREACH|AI_AGAIN)|UND_)/.test(code)) ||
    (error instanceof Error && /terminated|other side closed|socket hang up/i.test(error.message))
  )
}

/** OpenSSL's verdicts on a certificate, as Node names them. */
export function isCertificateProblem(code: string | undefined): boolean {
  return (
    code !== undefined &&
    /^(SELF_SIGNED_CERT_IN_CHAIN|DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO_|CERT_|ERR_TLS_CERT)/.test(code)
  )
}

/**
 * Waits before the next try: what Retry-After says (RFC 9110 §10.2.3), else 0.25 s, doubled each time, at most 8 s, spread by chance.
 * @param attempt 1 after the first failure
 */
export async function backOff(
  attempt: number,
  retryAfter: unknown,
  signal: AbortSignal,
  unitMs: number,
): Promise<void> {
  const asked = typeof retryAfter === 'string' ? retryAfterMs(retryAfter) : undefined
  const own = Math.min(unitMs * 2 ** (attempt - 1), unitMs * 32) * (0.75 + Math.random() / 2)
  await sleep(Math.min(asked ?? own, MAX_RETRY_AFTER_MS), signal)
}

function retryAfterMs(value: string): number | undefined {
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1000
  const at = Date.parse(value)
  return Number.isNaN(at) ? undefined : Math.max(at - Date.now(), 0)
}

/** The error to tell for a failure without an answer. */
export function connectionError(doing: string, url: URL, error: unknown, signal: AbortSignal): Error {
  if (error instanceof AppError || isAbort(error, signal)) return error as Error
  const code = systemCode(error)
  const help = isCertificateProblem(code)
    ? '; give its authority with --ca, or use --insecure'
    : isPlainHttpAnswer(error)
      ? '; if it speaks plain http, use --plain-http'
      : ''
  const kind = code !== undefined && /TIMEOUT|TIMEDOUT/.test(code) ? 'timeout' : 'unreachable'
  const what =
    kind === 'timeout' ? 'does not answer' : isCertificateProblem(code) ? 'is not trusted' : 'cannot be reached'
  return new AppError(kind, `${doing}: "${url.host}" ${what}${help}`, { cause: error })
}

/** TLS was answered with something that is no TLS. */
export function isPlainHttpAnswer(error: unknown): boolean {
  const code = systemCode(error)
  return (
    code === 'ERR_SSL_WRONG_VERSION_NUMBER' ||
    code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG' ||
    code === 'EPROTO' ||
    (error instanceof Error && /wrong version number|packet length too long/i.test(error.message))
  )
}
