/** Plain downloads for imports by URL, with the registry client's rules for redirects, addresses, retries and slow servers. */
import type { Dispatcher } from 'undici'
import { AppError, type ErrorCode } from '../../base/errors.ts'
import { backOff, isConnectionFailure, isPassing } from '../http-answers.ts'
import { MIN_PROGRESS_BYTES, bodyFrom } from './body.ts'
import type { Dispatchers } from './dispatch.ts'
import { connectionError, sender } from './request.ts'

export interface DownloadOptions {
  readonly attempts: number
  readonly backOffMs: number
  /** Whether this machine's own addresses may be fetched from. */
  readonly allowLoopback: boolean
}

/**
 * The bytes of a URL from `offset` on; goes on by itself after a broken connection.
 * @throws {AppError} not_found, forbidden, unreachable, timeout, bad_peer
 */
export async function* download(
  dispatchers: Dispatchers,
  { attempts, backOffMs, allowLoopback }: DownloadOptions,
  url: URL,
  offset: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const doing = `Cannot fetch "${url.origin}${url.pathname}"`
  const send = sender(dispatchers, { insecure: false, ca: undefined }, { allowHere: allowLoopback, signal })
  let at = offset
  let validator: string | undefined
  for (let failures = 0; ;) {
    const before = at
    let wait: unknown
    try {
      // A file that changed meanwhile must not be continued: If-Range makes the server send it whole (RFC 9110 §13.1.5).
      const range: Record<string, string> =
        at === 0 ? {} : { range: `bytes=${at}-`, ...(validator ? { 'if-range': validator } : {}) }
      const answer = await send({ url, method: 'GET', headers: range, origin: 'peer' })
      if (answer.statusCode !== 200 && answer.statusCode !== 206) {
        wait = answer.headers['retry-after']
        throw await statusError(answer, doing)
      }
      const now = validatorOf(answer)
      if (validator !== undefined && now !== validator)
        throw new AppError('bad_peer', `${doing}: it changed while it was fetched; try again`)
      validator = now
      for await (const part of bodyFrom(answer, at, Number.MAX_SAFE_INTEGER, doing)) {
        at += part.length
        yield part
      }
      return
    } catch (error) {
      const mayPass = isConnectionFailure(error) || error instanceof PassingStatus
      failures = at - before >= MIN_PROGRESS_BYTES ? 1 : failures + 1
      if (!mayPass || signal.aborted || failures >= attempts)
        throw connectionError(doing, url, error instanceof PassingStatus ? error.told : error, signal)
      await backOff(failures, wait, signal, backOffMs)
    }
  }
}

/** A status that may be gone at the next try. */
class PassingStatus extends Error {
  readonly told: AppError

  constructor(told: AppError) {
    super(told.message)
    this.told = told
  }
}

async function statusError(answer: Dispatcher.ResponseData, doing: string): Promise<Error> {
  const status = answer.statusCode
  await answer.body.dump().catch(() => {})
  const code: ErrorCode = status === 404 || status === 410 ? 'not_found' : status >= 500 ? 'unreachable' : 'bad_peer'
  const told = new AppError(code, `${doing}: the server answers ${status}`)
  return isPassing(status) ? new PassingStatus(told) : told
}

/** A strong validator, or the date. */
function validatorOf({ headers }: Dispatcher.ResponseData): string | undefined {
  const { etag, 'last-modified': modified } = headers
  if (typeof etag === 'string' && !etag.startsWith('W/')) return etag
  return typeof modified === 'string' ? modified : undefined
}
