/** What a command on a machine writes, and how it ended. */
import { AppError } from '../../base/errors.ts'
import type { GuestProcess } from './ports.ts'

/** All that it writes to its standard output. @throws {AppError} as `finished`, after the last byte */
export async function* wholeOutput(process: GuestProcess, doing: string): AsyncGenerator<Uint8Array> {
  yield* process.stdout
  await finished(process, doing)
}

/** @throws {AppError} invalid with what the command said, when it failed; unreachable when the connection was lost */
export async function finished(process: GuestProcess, doing: string): Promise<void> {
  let said = ''
  for await (const bytes of process.stderr) said = (said + Buffer.from(bytes).toString('utf8')).slice(-2000)
  const code = await process.exit
  if (code === undefined) throw new AppError('unreachable', `${doing}: the connection to the machine was lost`)
  if (code !== 0) throw new AppError('invalid', `${doing}: ${said.trim() || `exit status ${code}`}`)
}
