/** Words for a POSIX shell. */
import { AppError } from '../../base/errors.ts'

/**
 * One word that the shell takes literally, whatever bytes it has (POSIX.1 XCU 2.2.2: nothing is special between single quotes).
 * @throws {AppError} invalid when the text has a NUL, which no argument can carry
 */
export function quoteWord(text: string): string {
  if (text.includes('\0')) throw new AppError('invalid', 'Cannot pass an argument that has a NUL in it')
  return `'${text.replaceAll("'", "'\\''")}'`
}

/** Words joined by spaces, each taken literally. */
export function quoteWords(words: readonly string[]): string {
  return words.map(quoteWord).join(' ')
}

/**
 * Assignments, one a line: `NAME='value'`.
 * @throws {AppError} invalid when a name is not a shell variable
 */
export function assignments(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => {
      if (!/^[A-Z_][A-Z0-9_]*$/.test(name)) throw new AppError('invalid', `Cannot assign to "${name}" in a shell`)
      return `${name}=${quoteWord(value)}\n`
    })
    .join('')
}
