/** The last lines of what is in a log, whichever streams and parts they are in. */
import type { Placed, StreamReader } from './reader.ts'
import { readBytes } from './segment.ts'

const LF = 10
/** Bytes that are looked through at once. */
const LOOK_BYTES = 256 * 1024

/**
 * Entries of the last `lines` lines from `sinceMs` on, the first one cut where its line begins. Notes between lines are kept and not counted.
 * The readers go on behind what is there now.
 */
export async function lastLines(
  readers: readonly StreamReader[],
  lines: number,
  sinceMs: number | undefined,
): Promise<Placed[]> {
  const kept: Placed[] = []
  let missing = lines
  let isLast = true
  // Whatever is asked for, each reader passes over what is there.
  for await (const entry of newestFirst(readers)) {
    if (missing <= 0) continue
    if (sinceMs !== undefined && entry.atMs < sinceMs) continue
    if (entry.isNote) {
      kept.push(entry)
      continue
    }
    const cut = await findLine(entry, missing, isLast)
    isLast = false
    missing -= cut.newlines
    kept.push(missing > 0 ? entry : { ...entry, from: cut.from, length: entry.from + entry.length - cut.from })
  }
  return kept.toReversed()
}

async function* newestFirst(readers: readonly StreamReader[]): AsyncGenerator<Placed> {
  const sources = readers.map((reader) => reader.backwards())
  for (;;) {
    const parts = await Promise.all(sources.map((source) => source.next()))
    if (parts.every(({ done }) => done)) return
    const entries = parts.flatMap(({ value }) => value ?? [])
    yield* entries.toSorted((a, b) => a.atMs - b.atMs).toReversed()
  }
}

/**
 * Looks for the newline before the last `lines` lines of an entry.
 * @param isLast a newline at the very end closes the last line; it does not start another
 * @returns how many newlines were found, and the offset behind the last one of them
 */
async function findLine(entry: Placed, lines: number, isLast: boolean): Promise<{ newlines: number; from: number }> {
  let newlines = 0
  for (let end = entry.from + entry.length; end > entry.from;) {
    const start = Math.max(entry.from, end - LOOK_BYTES)
    const bytes = await readBytes(entry.data, start, end - start)
    let at = bytes.length
    if (isLast && end === entry.from + entry.length && bytes.at(-1) === LF) at--
    for (;;) {
      const newline = at === 0 ? -1 : bytes.lastIndexOf(LF, at - 1)
      if (newline < 0) break
      newlines++
      at = newline
      if (newlines === lines) return { newlines, from: start + newline + 1 }
    }
    end = start
  }
  return { newlines, from: entry.from }
}
