/** What `run --reset-atime` leaves behind: `ID-atime.out` in the current directory, as `bmc run` does (seed 002). */
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { AppError, systemCode } from '../../base/errors.ts'
import type { Container } from '../../model/container.ts'
import type { Session } from '../session.ts'

/** @throws {AppError} invalid when the file cannot be written, saying how the list can still be had */
export async function writeAtimes(session: Session, container: Container, isQuiet: boolean): Promise<void> {
  const path = resolve(session.io.cwd, `${container.id.slice(0, 12)}-atime.out`)
  const parts: Uint8Array[] = []
  for await (const bytes of await session.client().containers.atimes(container.id, { signal: session.signal }))
    parts.push(bytes)
  try {
    writeFileSync(path, Buffer.concat(parts))
  } catch (cause) {
    throw new AppError(
      'invalid',
      `Cannot write "${path}": ${systemCode(cause) ?? 'it cannot be created'}; the list can still be had: bareboat atimes ${container.name}`,
      { cause },
    )
  }
  if (!isQuiet) session.note(`bareboat: the files that were read are listed in ${path}`)
}
