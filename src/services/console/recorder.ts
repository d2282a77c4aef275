/** Writes what a console says into the log of its machine, and into its container's while it has one. */
import { concatBytes } from '../../base/bytes.ts'
import { explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { LogStore } from '../containers/ports.ts'

/** So much may wait for the disk; then nothing more is taken. */
export const MAX_UNWRITTEN_BYTES = 1 << 20

type Item = { readonly bytes: Uint8Array } | { readonly note: string }

export type Recorder = ReturnType<typeof createRecorder>

export function createRecorder({ logs, log }: { logs: LogStore; log: Log }, machineId: string) {
  const logIds = new Set([machineId])
  /** What could not be written, by log. */
  const lost = new Map<string, { bytes: number; why: string }>()
  let queue: Item[] = []
  let queuedBytes = 0
  let writing: Promise<void> | undefined

  async function writeQueue(): Promise<void> {
    while (queue.length > 0) {
      const items = queue
      queue = []
      queuedBytes = 0
      for (const item of joined(items)) for (const logId of logIds) await keep(logId, item)
    }
    writing = undefined
  }

  /** A disk that is full costs the record its bytes, which it says once it can again, and the viewers nothing. */
  async function keep(logId: string, item: Item): Promise<void> {
    const before = lost.get(logId)
    try {
      if (before) await logs.note(logId, 'console', `${before.bytes} bytes were not recorded here: ${before.why}`)
      lost.delete(logId)
      if ('note' in item) await logs.note(logId, 'console', item.note)
      else await logs.append(logId, 'console', await logs.size(logId, 'console'), item.bytes)
    } catch (error) {
      if (!before) log.warn('console output not stored', { logId, why: explain(error) })
      const bytes = (lost.get(logId)?.bytes ?? 0) + ('bytes' in item ? item.bytes.length : 0)
      lost.set(logId, { bytes, why: explain(error) })
    }
  }

  const start = (): Promise<void> => (writing ??= writeQueue())

  return {
    /** Resolves when more may come: at once, unless the disk is far behind. */
    async add(bytes: Uint8Array): Promise<void> {
      queue.push({ bytes })
      queuedBytes += bytes.length
      const written = start()
      if (queuedBytes > MAX_UNWRITTEN_BYTES) await written
    },

    note(text: string): void {
      queue.push({ note: text })
      void start()
    },

    alsoTo: (logId: string): unknown => logIds.add(logId),

    /** Ends the record in one log; all that came before is in it. */
    async endIn(logId: string): Promise<void> {
      await writing
      logIds.delete(logId)
      lost.delete(logId)
    },

    /** Resolves when everything is written. */
    drained: async (): Promise<void> => writing,
  }
}

/** Pieces that came while the disk was busy are written at once. */
function joined(items: readonly Item[]): Item[] {
  const all: Item[] = []
  let pieces: Uint8Array[] = []
  const close = (): void => {
    if (pieces.length > 0) all.push({ bytes: concatBytes(...pieces) })
    pieces = []
  }
  for (const item of items)
    if ('bytes' in item) pieces.push(item.bytes)
    else {
      close()
      all.push(item)
    }
  close()
  return all
}
