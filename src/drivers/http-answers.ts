/** HTTP as a client meets it, whoever the server is: bounded bodies, failures that may pass, and how long to wait for that. */
import { type Dispatcher, errors } from 'undici'
import { sleep } from '../base/clock.ts'
import { AppError, systemCode } from '../base/errors.ts'

const MAX_RETRY_AFTER_MS = 60_000

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
