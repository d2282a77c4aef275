/** The digest of a file, read no faster than it is told to. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

export interface HashOptions {
  /** Undefined: as fast as it goes. */
  readonly bytesPerSecond?: number
  readonly signal?: AbortSignal
}

/** Read at once: less would be slower, more would keep the control loop waiting for the hash. */
const PIECE_BYTES = 256 << 10

/** SHA-256 of a file, lower-case hexadecimal. @throws what reading it throws; the signal's reason */
export async function sha256OfFile(path: string, { bytesPerSecond, signal }: HashOptions = {}): Promise<string> {
  const hash = createHash('sha256')
  const startedMs = performance.now()
  let bytes = 0
  for await (const piece of createReadStream(path, { highWaterMark: PIECE_BYTES }) as AsyncIterable<Buffer>) {
    signal?.throwIfAborted()
    hash.update(piece)
    bytes += piece.length
    if (bytesPerSecond === undefined) continue
    const aheadMs = (bytes / bytesPerSecond) * 1000 - (performance.now() - startedMs)
    if (aheadMs > 1) await delay(aheadMs, undefined, signal === undefined ? {} : { signal })
  }
  return hash.digest('hex')
}
