/** What a run of the command line reads and writes. Tests hand in their own. */
import type { Readable, Writable } from 'node:stream'
import type { Environment } from '../model/paths.ts'

export interface InputStream extends Readable {
  readonly isTTY?: boolean
  setRawMode?(isRaw: boolean): unknown
}
export interface OutputStream extends Writable {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}
export type SignalName = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'SIGQUIT' | 'SIGWINCH'

export interface Io {
  readonly stdin: InputStream
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly env: Environment
  readonly uid: number
  readonly cwd: string
  now(): number
  /** Listens for a signal until the returned function is called. */
  onSignal(name: SignalName, listener: () => void): () => void
}

/** The process's own. */
export function processIo(): Io {
  // A reader that goes away may be noticed when the run is over already; then it no longer matters.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  return {
    stdin: process.stdin as InputStream,
    stdout: process.stdout as OutputStream,
    stderr: process.stderr as OutputStream,
    env: process.env,
    uid: process.getuid?.() ?? 0,
    cwd: process.cwd(),
    now: Date.now,
    onSignal(name, listener) {
      process.on(name, listener)
      return () => process.off(name, listener)
    },
  }
}

/** Writes and waits while the reader is slow. Resolves at once when the stream is gone: its error event says why. */
export async function writeOut(stream: Writable, data: string | Uint8Array): Promise<void> {
  if (stream.destroyed || data.length === 0 || stream.write(data)) return
  const { promise, resolve } = Promise.withResolvers<void>()
  const done = () => {
    stream.off('drain', done).off('close', done).off('error', done)
    resolve()
  }
  stream.on('drain', done).on('close', done).on('error', done)
  await promise
}
