/** `-e` and `--env-file`, as docker reads them. */
import { AppError } from '../../base/errors.ts'
import type { Environment } from '../../model/paths.ts'

/**
 * `KEY=VALUE` as it is; `KEY` alone takes the caller's value and is left out where the caller has none.
 * @throws {AppError} invalid, when there is no key
 */
export function fromCaller(entries: readonly string[], env: Environment): string[] {
  return entries.flatMap((entry) => {
    if (entry === '' || entry.startsWith('='))
      throw new AppError('invalid', `Cannot set environment variable "${entry}": it has no name`)
    if (entry.includes('=')) return [entry]
    const value = env[entry]
    return value === undefined ? [] : [`${entry}=${value}`]
  })
}

/**
 * The variables of an environment file: one a line, `#` begins a comment line, values are taken as they stand, quotes too.
 * @param file its name, for messages
 * @throws {AppError} invalid, with the line
 */
export function parseEnvironmentFile(bytes: Uint8Array, file: string, env: Environment): string[] {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new AppError('invalid', `Cannot read environment file "${file}": it is not UTF-8`)
  }
  return text.split('\n').flatMap((raw, index) => {
    const line = raw.replace(/\r$/, '').trimStart()
    if (line === '' || line.startsWith('#')) return []
    const equals = line.indexOf('=')
    const key = equals === -1 ? line : line.slice(0, equals)
    const wrong = (why: string) =>
      new AppError('invalid', `Cannot read environment file "${file}", line ${index + 1}: ${why}`)
    if (key === '') throw wrong('a variable has no name')
    if (/\s/.test(key)) throw wrong(`variable "${key}" has a blank in its name`)
    return fromCaller([line], env)
  })
}
