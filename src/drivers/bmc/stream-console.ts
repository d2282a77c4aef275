/** A serial console that is a stream of bytes both ways: what a channel of SSH and a WebSocket have in common. */
import type { Duplex } from 'node:stream'
import { AppError } from '../../base/errors.ts'
import { untilAborted } from '../../base/task.ts'
import type { BmcConsole } from '../../services/power/power-port.ts'

export interface ConsoleStream {
  /** Bounds what nobody has read yet: it must stop its source. */
  readonly stream: Duplex
  /** For messages. */
  readonly address: string
  /** What the BMC said of its end, in words; undefined when it said nothing. */
  readonly lastWords: () => string | undefined
  /** Ends what carries the stream. */
  readonly close: () => Promise<void>
  /** How long the BMC may take for what is typed, milliseconds; default 15 s. */
  readonly writeTimeoutMs?: number
}

const WRITE_TIMEOUT_MS = 15_000
/** A paste of any length is handed on in such pieces. */
const MAX_PIECE_BYTES = 4096

/** The console of a stream that is open. It has no serial break: neither SSH's library nor a WebSocket carries one. */
export function consoleOver({ stream, address, lastWords, close, ...options }: ConsoleStream): BmcConsole {
  const timeoutMs = options.writeTimeoutMs ?? WRITE_TIMEOUT_MS
  const over = new AbortController()
  let failure: unknown
  let tail: Promise<unknown> = Promise.resolve()
  // Whoever iterates gets it; nobody may.
  stream.on('error', (error) => (failure ??= error))
  stream.on('close', () => over.abort())

  function lost(cause: unknown): AppError {
    const words = lastWords()
    const why = words === undefined ? 'its session was dropped' : `its session ended (${words})`
    return new AppError('unreachable', `Cannot go on with the console of BMC "${address}": ${why}; open it again`, {
      cause,
    })
  }

  let isClosed = false
  async function writeAll(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    for (let at = 0; at < bytes.length; at += MAX_PIECE_BYTES) {
      signal?.throwIfAborted()
      if (isClosed) throw new AppError('interrupted', `Cannot write to the console of BMC "${address}": it is closed`)
      if (over.signal.aborted || stream.writableEnded) throw lost(failure)
      await taken(bytes.slice(at, at + MAX_PIECE_BYTES), signal)
    }
  }

  async function taken(piece: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    stream.write(piece, (error) => (error ? reject(lost(error)) : resolve()))
    const late = AbortSignal.timeout(timeoutMs)
    const ends = [late, over.signal, ...(signal ? [signal] : [])]
    try {
      await untilAborted(promise, AbortSignal.any(ends))
    } catch (error) {
      promise.catch(() => {})
      signal?.throwIfAborted()
      if (error instanceof AppError) throw error
      if (!late.aborted) throw lost(failure)
      throw new AppError(
        'unreachable',
        `Cannot write to the console of BMC "${address}": nothing was taken in ${timeoutMs} ms`,
      )
    }
  }

  return {
    async *[Symbol.asyncIterator]() {
      try {
        for await (const bytes of stream as AsyncIterable<Uint8Array>) yield bytes
      } catch (error) {
        failure ??= error
      }
      if (!isClosed) throw lost(failure)
    },

    write(bytes, signal) {
      const turn = tail.then(() => writeAll(bytes, signal))
      tail = turn.catch(() => {})
      return turn
    },

    sendBreak: () =>
      Promise.reject(
        new AppError('unsupported', `Cannot send a break to the console of BMC "${address}": only IPMI's carries one`),
      ),

    async [Symbol.asyncDispose]() {
      if (isClosed) return
      isClosed = true
      stream.destroy()
      await close()
    },
  }
}

/** A stranger's words for a terminal or a log. */
export function plainWords(text: string): string {
  return text
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, 120)
}
