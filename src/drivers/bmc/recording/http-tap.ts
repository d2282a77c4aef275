/** Shows a tap what passes over HTTP, as text; what a session is known by is out of it wherever it stands. */
import { gunzipSync } from 'node:zlib'
import { AppError } from '../../../base/errors.ts'
import { createMask } from '../../../formats/bmc-recording/mask.ts'
import type { BmcTap } from '../../../services/power/power-port.ts'
import type { WebAnswer, WebObserver } from '../web.ts'

/** Of one answer; the rest is left out. */
const MAX_TEXT = 128 * 1024

/** For one driver: it remembers the tokens that its BMC has given out. */
export function observeAs(tap: BmcTap): WebObserver {
  const tokens: string[] = []
  return ({ request, answer, error, tookMs }) => {
    tokens.push(
      ...(answer?.headers['x-auth-token'] ?? []),
      ...(request.headers?.['x-auth-token'] ? [request.headers['x-auth-token']] : []),
    )
    const mask = createMask([...new Set(tokens)])
    const { method, path, headers = {}, body } = request
    const asked = body instanceof Uint8Array ? mask(textOf(body)) : body && '(a stream)'
    tap({
      is: 'http',
      ms: 0,
      tookMs: Math.round(tookMs),
      method,
      // A session is closed by its own path, and some BMCs name it by its token.
      path: mask(path).replace(/(\/Sessions\/)[^/?]+/i, '$1***'),
      headers: { ...headers },
      ...(asked === undefined ? {} : { body: asked }),
      ...(answer ? { status: answer.status, answerHeaders: joined(answer), answer: mask(bodyOf(answer)) } : {}),
      ...(error === undefined ? {} : { error: failureOf(error) }),
    })
  }
}

function joined({ headers }: WebAnswer): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, values.join(', ')]))
}

/** As it is inside, and without what an answer about sessions says of them. */
function bodyOf({ headers, bytes }: WebAnswer): string {
  if (headers['content-encoding']?.[0] !== 'gzip') return textOf(bytes)
  try {
    return textOf(gunzipSync(bytes, { maxOutputLength: MAX_TEXT }))
  } catch {
    return '(not to be unpacked)'
  }
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, MAX_TEXT))
}

function failureOf(error: unknown): { code: string; message: string } {
  if (error instanceof AppError) return { code: error.code, message: error.message }
  return { code: 'interrupted', message: error instanceof Error ? error.message : String(error) }
}
