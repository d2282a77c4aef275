/** A stream as it is read: from part to part with handles of its own, while others write, rotate and remove. */
import { open, type FileHandle } from 'node:fs/promises'
import { systemCode } from '../../base/errors.ts'
import type { LogStream } from '../../services/containers/ports.ts'
import { readEntries, RECORD_BYTES, segmentPath, type Entry } from './segment.ts'
import type { Stream } from './stream.ts'

/** An entry, and the file that has its bytes. */
export interface Placed extends Entry {
  readonly stream: LogStream
  readonly data: FileHandle
}

interface Part {
  readonly number: number
  readonly data: FileHandle
  readonly index: FileHandle
}

export interface StreamReader extends AsyncDisposable {
  /** The next entries, undefined when there are none now. What was given before must be read before. */
  next(): Promise<Placed[] | undefined>
  /** How many parts were removed before they were read, since it was asked last. */
  missed(): number
  /** The entries that are there now, part by part, the newest part first. `next` goes on behind them. */
  backwards(): AsyncGenerator<Placed[]>
  /** Whether `next` has more. */
  hasMore(): boolean
}

/** Begins at the oldest part that is there. */
export async function openReader(stream: Stream): Promise<StreamReader> {
  let part = await firstPart(stream, 0)
  let records = 0
  let offset = 0
  let missed = 0
  /** Parts that `backwards` has opened. */
  const opened: Part[] = []

  async function* entriesOf(from: Part, first: number): AsyncGenerator<Placed[]> {
    const end = await recordsOf(stream, from)
    for (let at = first, bytes = first === 0 ? 0 : offset; at < end;) {
      const entries = await readEntries(from.index, at, end, bytes)
      if (entries.length === 0) return
      at += entries.length
      const last = entries.at(-1)!
      bytes = last.from + last.length
      yield entries.map((entry) => ({ ...entry, stream: stream.name, data: from.data }))
    }
  }

  function advance(entries: readonly Placed[]): void {
    const last = entries.at(-1)!
    records += entries.length
    offset = last.from + last.length
  }

  return {
    async next() {
      while (part) {
        const { value } = await entriesOf(part, records).next()
        if (value) {
          advance(value)
          return value
        }
        if (part.number === stream.current.number || (await recordsOf(stream, part)) > records) return undefined
        const following = await firstPart(stream, part.number + 1)
        missed += Math.max(0, (following?.number ?? part.number + 1) - part.number - 1)
        await closePart(part)
        part = following
        records = 0
        offset = 0
      }
      return undefined
    },

    missed() {
      const count = missed
      missed = 0
      return count
    },

    async *backwards() {
      const newest = stream.current.number
      const numbers = [...stream.older.filter((number) => number < newest), newest].toReversed()
      for (const number of numbers) {
        const one = await openPart(stream, number)
        if (!one) return
        opened.push(one)
        const all: Placed[] = []
        for await (const entries of entriesOf(one, 0)) all.push(...entries)
        if (number === newest) {
          if (part) await closePart(part)
          part = await openPart(stream, number)
          records = 0
          offset = 0
          if (all.length > 0) advance(all)
        }
        yield all
      }
    },

    hasMore: () => part !== undefined && (stream.current.number > part.number || stream.current.records > records),

    async [Symbol.asyncDispose]() {
      if (part) await closePart(part)
      for (const one of opened) await closePart(one)
    },
  }
}

/** The first part from `number` on that is still there. */
async function firstPart(stream: Stream, number: number): Promise<Part | undefined> {
  for (;;) {
    const first = [...stream.older, stream.current.number].find((candidate) => candidate >= number)
    if (first === undefined) return undefined
    const part = await openPart(stream, first)
    if (part || first === stream.current.number) return part
    number = first + 1
  }
}

/** Undefined when it has been removed. */
async function openPart({ dir, name }: Stream, number: number): Promise<Part | undefined> {
  const path = segmentPath(dir, name, number)
  let data: FileHandle | undefined
  try {
    data = await open(path, 'r')
    return { number, data, index: await open(`${path}.index`, 'r') }
  } catch (error) {
    await data?.close()
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

async function closePart({ data, index }: Part): Promise<void> {
  await data.close()
  await index.close()
}

/** How many records of a part count: of the one that is written to, those that were written whole. */
async function recordsOf({ current }: Stream, part: Part): Promise<number> {
  if (part.number === current.number) return current.records
  return Math.trunc((await part.index.stat()).size / RECORD_BYTES)
}
