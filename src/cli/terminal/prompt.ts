/** Asks the person at the terminal: for a password without showing it, for a yes. */
import { createInterface } from 'node:readline'
import { AppError } from '../../base/errors.ts'
import type { Session } from '../session.ts'
import { release } from './pump.ts'

const LONGEST = 1024

/**
 * Asks on the terminal and reads one line without echo.
 * @throws {AppError} invalid, when standard input is not a terminal; interrupted by Ctrl-C or Ctrl-D
 */
export async function askPassword(session: Session, question: string): Promise<string> {
  const { stdin, stderr } = session.io
  if (stdin.isTTY !== true)
    throw new AppError('invalid', `Cannot ask for ${question}: standard input is not a terminal`)
  stderr.write(`${question}: `)
  stdin.setRawMode?.(true)
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let typed = ''
  const onData = (data: Uint8Array | string) => {
    for (const character of typeof data === 'string' ? data : Buffer.from(data).toString('utf8')) {
      if (character === '\r' || character === '\n') return resolve(typed)
      if (character === '\u0003' || character === '\u0004')
        return reject(new AppError('interrupted', `Cannot go on without ${question}: interrupted`))
      if (character === '\u007f' || character === '\b') typed = Array.from(typed).slice(0, -1).join('')
      else if (typed.length < LONGEST) typed += character
    }
  }
  const onAbort = () => reject(session.signal.reason as Error)
  session.signal.addEventListener('abort', onAbort, { once: true })
  stdin.on('data', onData)
  stdin.resume()
  try {
    return await promise
  } finally {
    stdin.off('data', onData)
    session.signal.removeEventListener('abort', onAbort)
    stdin.setRawMode?.(false)
    release(stdin)
    stderr.write('\n')
  }
}

/**
 * Asks on the terminal whether to go on.
 * @param doing what is asked for, as errors name it  @param flag what answers without asking
 * @returns whether the answer begins with y
 * @throws {AppError} invalid, when standard input is not a terminal
 */
export async function askYes(session: Session, doing: string, flag: string): Promise<boolean> {
  const { stdin, stderr } = session.io
  if (stdin.isTTY !== true)
    throw new AppError('invalid', `Cannot ask whether to ${doing}: standard input is not a terminal; use ${flag}`)
  stderr.write('Are you sure you want to continue? [y/N] ')
  return /^y(es)?$/i.test(await readLine(session))
}

/**
 * Asks on the terminal for one line.
 * @param flag what answers without asking
 * @returns it, without blanks around it; empty at the end of the input
 * @throws {AppError} invalid, when standard input is not a terminal
 */
export async function askWord(session: Session, question: string, flag: string): Promise<string> {
  const { stdin, stderr } = session.io
  if (stdin.isTTY !== true)
    throw new AppError('invalid', `Cannot ask for a confirmation: standard input is not a terminal; use ${flag}`)
  stderr.write(question)
  return readLine(session)
}

async function readLine(session: Session): Promise<string> {
  const { stdin } = session.io
  const lines = createInterface({ input: stdin, signal: session.signal })
  try {
    for await (const line of lines) return line.trim()
    session.signal.throwIfAborted()
    return ''
  } finally {
    lines.close()
    release(stdin)
  }
}
