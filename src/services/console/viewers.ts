/** Those who look at one console. One of them writes: the first who wants to, or who takes over; when it leaves nobody does. */
import type { Now } from '../../base/clock.ts'
import { AppError } from '../../base/errors.ts'
import type { ConsoleEvent } from './ports.ts'

/** So many bytes may wait for a viewer that is slow; then it loses the oldest: a console goes on by itself. */
export const MAX_WAITING_BYTES = 1 << 20
export const MAX_VIEWERS = 32

export interface Viewer {
  readonly who: string
  readonly readOnly: boolean
  /** Yields what comes until the signal aborts. */
  events(signal: AbortSignal): AsyncGenerator<ConsoleEvent>
  tell(text: string): void
}

interface Seat extends Viewer {
  push(event: ConsoleEvent): void
  /** It has typed and been told that it cannot. */
  isWarned: boolean
}

export type Viewers = ReturnType<typeof createViewers>

export function createViewers(name: string, now: Now) {
  const seats = new Set<Seat>()
  let writer: { readonly seat: Seat; readonly sinceMs: number } | undefined

  function makeWriter(seat: Seat): void {
    const before = writer?.seat
    if (before === seat) return
    writer = { seat, sinceMs: now() }
    seat.isWarned = false
    seat.push({ kind: 'writer', isWriter: true, text: '' })
    if (before) before.isWarned = false
    before?.push({ kind: 'writer', isWriter: false, text: `read-only now: ${seat.who} has taken over` })
  }

  const whoWrites = (): string =>
    writer
      ? `${writer.seat.who} has been writing since ${new Date(writer.sinceMs).toISOString()}; take over with ~w`
      : 'nobody writes now; begin with ~w'

  return {
    get size(): number {
      return seats.size
    },

    /** @throws {AppError} exhausted when there are too many */
    join({ who, readOnly, takeOver }: { who: string; readOnly: boolean; takeOver: boolean }): Viewer {
      if (seats.size >= MAX_VIEWERS)
        throw new AppError(
          'exhausted',
          `Cannot open the console of "${name}": ${MAX_VIEWERS} viewers look at it; its log can be followed with --log -f`,
        )
      const seat = createSeat(who, readOnly)
      seats.add(seat)
      if (readOnly) seat.push({ kind: 'writer', isWriter: false, text: '' })
      else if (!writer || takeOver) makeWriter(seat)
      else seat.push({ kind: 'writer', isWriter: false, text: `read-only: ${whoWrites()}` })
      return seat
    },

    leave(viewer: Viewer): void {
      const seat = viewer as Seat
      seats.delete(seat)
      if (writer?.seat !== seat) return
      writer = undefined
      for (const other of seats) if (!other.readOnly) other.tell(`${seat.who} has left; ${whoWrites()}`)
    },

    takeOver(viewer: Viewer): void {
      if (viewer.readOnly) viewer.tell('not taken over: this view was opened to read only')
      else makeWriter(viewer as Seat)
    },

    /** Whether this viewer may type now; it is told once when it may not. */
    mayWrite(viewer: Viewer): boolean {
      const seat = viewer as Seat
      if (writer?.seat === seat) return true
      if (!seat.isWarned)
        seat.tell(seat.readOnly ? 'not sent: this view was opened to read only' : `not sent: ${whoWrites()}`)
      seat.isWarned = true
      return false
    },

    show(bytes: Uint8Array): void {
      for (const seat of seats) seat.push({ kind: 'output', bytes })
    },

    tellAll(text: string): void {
      for (const seat of seats) seat.tell(text)
    },
  }
}

function createSeat(who: string, readOnly: boolean): Seat {
  const queue: ConsoleEvent[] = []
  /** Kept apart: it is never dropped, and only the last one counts. */
  let role: ConsoleEvent | undefined
  let waitingBytes = 0
  let droppedBytes = 0
  let news = Promise.withResolvers<void>()

  function take(): ConsoleEvent | undefined {
    if (role) {
      const event = role
      role = undefined
      return event
    }
    if (droppedBytes > 0) {
      const text = `${droppedBytes} bytes of output were dropped here: they were not read in time`
      droppedBytes = 0
      return { kind: 'notice', text }
    }
    const event = queue.shift()
    if (event) waitingBytes -= weightOf(event)
    return event
  }

  const seat: Seat = {
    who,
    readOnly,
    isWarned: false,
    push(event) {
      if (event.kind === 'writer') role = event
      else {
        queue.push(event)
        waitingBytes += weightOf(event)
      }
      while (waitingBytes > MAX_WAITING_BYTES) {
        const oldest = queue.shift()!
        waitingBytes -= weightOf(oldest)
        if (oldest.kind === 'output') droppedBytes += oldest.bytes.length
      }
      news.resolve()
    },
    tell: (text) => seat.push({ kind: 'notice', text }),
    async *events(signal) {
      const end = (): void => news.resolve()
      signal.addEventListener('abort', end, { once: true })
      try {
        while (!signal.aborted) {
          const event = take()
          if (event) {
            yield event
            continue
          }
          await news.promise
          news = Promise.withResolvers<void>()
        }
      } finally {
        signal.removeEventListener('abort', end)
      }
    },
  }
  return seat
}

/** Many tiny pieces take more room than their bytes. */
function weightOf(event: ConsoleEvent): number {
  return 64 + (event.kind === 'output' ? event.bytes.length : event.kind === 'notice' ? event.text.length : 0)
}
