/** One HTTP exchange: redirects by our rules, bounded bodies, retries of what may pass. */
import { type Dispatcher, request } from 'undici'
import { AppError, systemCode } from '../../base/errors.ts'
import { isAbort } from '../../base/task.ts'
import { isCertificateProblem, isPlainHttpAnswer } from '../http-answers.ts'
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
