/** Which blocks of an export were read, in the order in which each was read first: what a boot profile is made of. */

export const TOUCH_BLOCK_BYTES = 4096

/** Blocks `start` to `start + count - 1`. */
export interface Touch {
  readonly start: number
  readonly count: number
  /** When the first of them was read, milliseconds since the epoch. */
  readonly atMs: number
}

export interface Touched {
  readonly touches: readonly Touch[]
  /** False when there were more than could be kept; those that are missing came last. */
  readonly isComplete: boolean
}

export interface Touches {
  /** Notes that these bytes are read. */
  note(offset: number, length: number): void
  list(): Touched
}

/** What goes on within this time is one piece: a piece has the time of its begin, and what other threads read lies beside it. */
const JOIN_MS = 100
/** At most this many pieces are kept, some 3 MB; a boot has a few thousand. */
const MAX_TOUCHES = 65_536

/** @param sizeBytes of the export: 1 bit is kept for each block of it */
export function createTouches(sizeBytes: number, nowMs: () => number, maxTouches = MAX_TOUCHES): Touches {
  const seen = new Bits(Math.ceil(sizeBytes / TOUCH_BLOCK_BYTES))
  const touches: { start: number; count: number; atMs: number }[] = []
  let isComplete = true

  function append(start: number, count: number): void {
    const last = touches.at(-1)
    const atMs = nowMs()
    if (last !== undefined && last.start + last.count === start && atMs - last.atMs <= JOIN_MS) last.count += count
    else if (touches.length < maxTouches) touches.push({ start, count, atMs })
    else isComplete = false
  }

  return {
    note(offset, length) {
      if (length <= 0) return
      const first = Math.floor(offset / TOUCH_BLOCK_BYTES)
      const end = Math.ceil((offset + length) / TOUCH_BLOCK_BYTES)
      seen.add(first, end, append)
    },
    list: () => ({ touches: touches.map((touch) => ({ ...touch })), isComplete }),
  }
}

/** What several threads noted, as one: in order of time, each block once. */
export function mergeTouched(parts: readonly Touched[]): Touched {
  const all = parts.flatMap((part) => part.touches).toSorted((a, b) => a.atMs - b.atMs)
  const seen = new Bits(all.reduce((most, { start, count }) => Math.max(most, start + count), 0))
  const touches: Touch[] = []
  for (const { start, count, atMs } of all)
    seen.add(start, start + count, (from, length) => touches.push({ start: from, count: length, atMs }))
  return { touches, isComplete: parts.every((part) => part.isComplete) }
}

class Bits {
  readonly #words: Uint32Array

  constructor(size: number) {
    this.#words = new Uint32Array(Math.ceil(size / 32))
  }

  /** Sets `from` to `end` (exclusive) and tells which runs of them were not set before. */
  add(from: number, end: number, onNew: (start: number, count: number) => void): void {
    const words = this.#words
    let start = -1
    for (let at = from; at < end;) {
      const word = at >>> 5
      // Whole words that are set, as where all was read before, are passed at once.
      if ((at & 31) === 0 && end - at >= 32 && words[word] === 0xffff_ffff) {
        if (start >= 0) onNew(start, at - start)
        start = -1
        at += 32
        continue
      }
      const bit = 1 << (at & 31)
      if ((words[word]! & bit) !== 0) {
        if (start >= 0) onNew(start, at - start)
        start = -1
      } else {
        if (start < 0) start = at
        words[word]! |= bit
      }
      at += 1
    }
    if (start >= 0) onNew(start, end - start)
  }
}
