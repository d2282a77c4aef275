/** A service over HTTP that is played from a recording. */
import { AppError, ERROR_CODES, type ErrorCode } from '../../../base/errors.ts'
import type { Exchanged, HttpStep } from '../../../formats/bmc-recording/recording.ts'
import { NoAnswer, type WebAnswer, type WebPlay } from '../web.ts'
import { createScript } from './script.ts'

/** Redfish's sessions, which a driver opens and closes when it likes; one's own path is masked. */
const SESSIONS = /\/Sessions(\/[^/?]*)?$/i

/** Answers requests as they were answered then: the next one that was recorded with this method, path and body. */
export function replayHttp(exchanges: readonly Exchanged[]): WebPlay {
  const script = createScript(
    exchanges.filter((exchange) => exchange.is === 'http'),
    {
      keyOf: ({ method, path, body = '' }) => `${method} ${path}${SESSIONS.test(path) ? '' : ` ${body}`}`.trimEnd(),
      isChange: ({ method, path }) => method !== 'GET' && !SESSIONS.test(path),
    },
  )
  return ({ method, path, body }) => {
    if (method === 'DELETE' && SESSIONS.test(path)) return { status: 204, headers: {}, bytes: new Uint8Array() }
    const text = body instanceof Uint8Array ? new TextDecoder().decode(body) : ''
    const asked = { is: 'http', ms: 0, tookMs: 0, method, path, headers: {}, body: text } as const
    return playedAnswer(script.next(asked))
  }
}

/** @throws {AppError} where no answer came */
export function playedAnswer({ status, answerHeaders = {}, answer = '', error }: HttpStep): WebAnswer {
  if (status === undefined) throw lost(error)
  // It was unpacked before it was recorded.
  const { 'content-encoding': _packed, ...headers } = answerHeaders
  return {
    status,
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])),
    bytes: new TextEncoder().encode(answer),
  }
}

/** Whether a request without an answer had arrived is not in a recording: it may have. */
function lost(error: { code: string; message: string } = { code: 'unreachable', message: 'there was no answer' }) {
  const isKnown = Object.hasOwn(ERROR_CODES, error.code)
  return isKnown
    ? new NoAnswer(error.code as ErrorCode, error.message)
    : new AppError('bad_peer', `Cannot play this: ${error.message}`)
}
