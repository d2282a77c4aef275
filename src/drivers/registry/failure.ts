/** A registry's refusal in words (distribution-spec, "Error Codes"). */
import type { Dispatcher } from 'undici'
import { AppError, type ErrorCode } from '../../base/errors.ts'
import { bodyOf } from '../http-answers.ts'

const MAX_ERROR_BYTES = 64 << 10

const CODE_OF_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  408: 'timeout',
  429: 'exhausted',
  504: 'timeout',
}

const HELP_OF_STATUS: Readonly<Record<number, string>> = {
  401: '; see docker login',
  404: '; check the name and the tag',
  429: '; its rate limit is reached, try later or log in',
}

/** The error for an answer that is no success: status, the registry's own code and message, and what would help. */
export async function registryFailure(answer: Dispatcher.ResponseData, doing: string, base: URL): Promise<AppError> {
  const status = answer.statusCode
  const said = await ownWords(answer)
  const code = CODE_OF_STATUS[status] ?? (status >= 500 ? 'unreachable' : 'bad_peer')
  return new AppError(code, `${doing}: "${base.host}" answers ${status}${said}${HELP_OF_STATUS[status] ?? ''}`)
}

async function ownWords(answer: Dispatcher.ResponseData): Promise<string> {
  let parsed: unknown
  try {
    parsed = JSON.parse(new TextDecoder().decode(await bodyOf(answer, MAX_ERROR_BYTES, 'error')))
  } catch {
    return ''
  }
  const list = typeof parsed === 'object' && parsed !== null && 'errors' in parsed ? parsed.errors : undefined
  const first: unknown = Array.isArray(list) ? list[0] : undefined
  if (typeof first !== 'object' || first === null) return ''
  const code = 'code' in first && typeof first.code === 'string' ? printable(first.code, 60) : ''
  const message = 'message' in first && typeof first.message === 'string' ? printable(first.message, 200) : ''
  return code === '' && message === '' ? '' : ` ${code} (${message})`
}

/** A stranger's text for a terminal or a log: no control characters, cut. */
function printable(text: string, max: number): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, max)
}
