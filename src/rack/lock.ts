/** One at a time sets up or ends a rack. */
import { createHash } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { createServer } from 'node:net'
import { poll } from '../base/clock.ts'
import { AppError, systemCode } from '../base/errors.ts'
import { listen } from './listening.ts'

/**
 * Holds the lock of a rack until disposed. The lock is an abstract unix socket: the kernel gives it back however its holder ends.
 * @throws {AppError} conflict, when somebody else has it for longer than `waitMs` milliseconds
 */
export async function lockRack(
  stateDir: string,
  name: string,
  waitMs: number,
  signal?: AbortSignal,
): Promise<AsyncDisposable> {
  const key = createHash('sha256')
    .update(`${realpathSync(stateDir)}\0${name}`)
    .digest('hex')
    .slice(0, 32)
  const held = await poll(() => tryLock(`\0bareboat-rack-${key}`), {
    everyMs: 100,
    deadlineMs: waitMs,
    ...(signal === undefined ? {} : { signal }),
  })
  if (held !== undefined) return held
  throw new AppError(
    'conflict',
    `Cannot change rack "${name}": somebody else is just setting it up or ending it; try again`,
  )
}

async function tryLock(path: string): Promise<AsyncDisposable | undefined> {
  try {
    return await listen(
      createServer((socket) => socket.destroy()),
      { path },
    )
  } catch (cause) {
    if (systemCode(cause) === 'EADDRINUSE') return undefined
    throw cause
  }
}
