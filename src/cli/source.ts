/** What a person imports: a file or directory here, standard input, or an address that the server fetches. */
import { createReadStream, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { AppError, systemCode } from '../base/errors.ts'
import type { Source } from '../client/calls.ts'
import type { Session } from './session.ts'

/**
 * @param text a path, `-` for standard input, or an http(s) URL
 * @param pack makes one stream of a directory; without it a directory is refused
 * @throws {AppError} invalid, when there is no such file
 */
export function openSource(text: string, session: Session, pack?: (dir: string) => Readable): Source {
  if (/^https?:\/\//.test(text)) return { url: text }
  const refuse = (why: string, cause?: unknown): AppError =>
    new AppError('invalid', `Cannot import "${text}": ${why}`, { cause })
  if (text === '-') {
    if (session.io.stdin.isTTY === true) throw refuse('standard input is a terminal')
    return { body: session.io.stdin }
  }
  const path = resolve(session.io.cwd, text)
  if (!isDirectory(path, refuse)) return { body: createReadStream(path, { highWaterMark: 1024 * 1024 }) }
  if (!pack) throw refuse('it is a directory')
  return { body: pack(path) }
}

function isDirectory(path: string, refuse: (why: string, cause: unknown) => AppError): boolean {
  try {
    return statSync(path).isDirectory()
  } catch (cause) {
    const code = systemCode(cause)
    throw refuse(code === 'ENOENT' ? 'there is no such file' : (code ?? 'it cannot be read'), cause)
  }
}
