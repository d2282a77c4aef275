/** What a person imports: a file here, standard input, or an address that the server fetches. */
import { createReadStream, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { AppError, systemCode } from '../base/errors.ts'
import type { Source } from '../client/calls.ts'
import type { Session } from './session.ts'

/**
 * @param text a path, `-` for standard input, or an http(s) URL
 * @throws {AppError} invalid, when there is no such file
 */
export function openSource(text: string, session: Session): Source {
  if (/^https?:\/\//.test(text)) return { url: text }
  if (text === '-') {
    if (session.io.stdin.isTTY === true)
      throw new AppError('invalid', 'Cannot import from "-": standard input is a terminal')
    return { body: session.io.stdin }
  }
  const path = resolve(session.io.cwd, text)
  try {
    if (!statSync(path).isDirectory()) return { body: createReadStream(path, { highWaterMark: 1024 * 1024 }) }
  } catch (cause) {
    throw new AppError(
      'invalid',
      `Cannot import "${text}": ${systemCode(cause) === 'ENOENT' ? 'there is no such file' : (systemCode(cause) ?? 'it cannot be read')}`,
      { cause },
    )
  }
  throw new AppError(
    'invalid',
    `Cannot import "${text}": it is a directory; give a tar archive of it: tar c -C ${text} . | bareboat import -`,
  )
}
