/**
 * Logs of containers and machines as files. Each stream is a file of exactly the bytes as they came, so that its size is the offset
 * where the next bytes belong, and beside it an index of times (`segment.ts`). A console goes on by itself as long as its machine is
 * on: it is kept in parts, of which the oldest go.
 */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Now } from '../../base/clock.ts'
import { systemCode } from '../../base/errors.ts'
import type { LogPiece, LogQuery, LogStore, LogStream } from '../../services/containers/ports.ts'
import type { LogFiles } from '../../services/store/ports.ts'
import { sizeOfTree } from '../disk.ts'
import { openReader, type Placed, type StreamReader } from './reader.ts'
import { readBytes } from './segment.ts'
import { append, appendNote, closeStream, openStream, sizeOf, type Rotation, type Stream } from './stream.ts'
import { lastLines } from './tail.ts'

export type { Rotation } from './stream.ts'

const READ_BYTES = 256 * 1024
const CONSOLE_ROTATION: Rotation = { fileBytes: 8 << 20, files: 4 }

/** @param consoles how much of each console is kept; default 4 files of 8 MiB */
export function createLogDirectory(
  dir: string,
  now: Now,
  consoles: Rotation = CONSOLE_ROTATION,
): LogStore & LogFiles & AsyncDisposable {
  const streams = new Map<string, Promise<Stream>>()
  const closed = new Set<string>()
  const waiters = new Map<string, Set<() => void>>()

  const wake = (containerId: string): void => {
    for (const waiter of waiters.get(containerId) ?? []) waiter()
  }

  function close(containerId: string): void {
    closed.add(containerId)
    wake(containerId)
  }

  function streamOf(containerId: string, stream: LogStream): Promise<Stream> {
    const key = `${containerId}/${stream}`
    let opened = streams.get(key)
    if (!opened) {
      opened = openStream(join(dir, containerId), stream, stream === 'console' ? consoles : undefined, now)
      streams.set(key, opened)
      opened.catch(() => streams.delete(key))
    }
    return opened
  }

  async function* piecesAsTheyCome(
    containerId: string,
    files: readonly Stream[],
    readers: readonly StreamReader[],
    query: LogQuery,
  ): AsyncGenerator<LogPiece> {
    const isOver = (): boolean => closed.has(containerId) || files.some(({ isRemoved }) => isRemoved)
    if (query.tailLines !== undefined)
      for (const entry of await lastLines(readers, query.tailLines, query.sinceMs)) yield* piecesOf(entry)
    for (;;) {
      const wasOver = isOver()
      for await (const entry of inOrder(readers))
        if (query.sinceMs === undefined || entry.atMs >= query.sinceMs) yield* piecesOf(entry)
      const missed = readers.reduce((sum, reader) => sum + reader.missed(), 0)
      if (missed > 0) yield note(`${missed} files of this log were removed before they were read`, now())
      if (readers.some((reader) => reader.hasMore())) continue
      if (!query.follow || wasOver || query.signal?.aborted) return
      const isThere = (): boolean => isOver() || readers.some((reader) => reader.hasMore())
      await news(waiters, containerId, query.signal, isThere)
    }
  }

  return {
    async append(containerId, stream, offset, bytes) {
      if (await append(await streamOf(containerId, stream), offset, bytes, now)) wake(containerId)
    },

    async note(containerId, stream, text) {
      if (await appendNote(await streamOf(containerId, stream), oneLine(text), now)) wake(containerId)
    },

    async size(containerId, stream) {
      return sizeOf(await streamOf(containerId, stream))
    },

    async *read(containerId, query) {
      await using stack = new AsyncDisposableStack()
      const files = await Promise.all(query.streams.map((name) => streamOf(containerId, name)))
      const readers: StreamReader[] = []
      for (const file of files) readers.push(stack.use(await openReader(file)))
      yield* piecesAsTheyCome(containerId, files, readers, query)
    },

    close,

    reopen(containerId) {
      closed.delete(containerId)
    },

    async remove(containerId) {
      close(containerId)
      for (const name of ['stdout', 'stderr', 'console'] as const) {
        const key = `${containerId}/${name}`
        const file = await streams.get(key)
        streams.delete(key)
        if (!file) continue
        // Who reads it reads on to the end; the files have no name any more by then.
        file.isRemoved = true
        await closeStream(file)
      }
      await rm(join(dir, containerId), { recursive: true, force: true })
      wake(containerId)
      closed.delete(containerId)
    },

    async usage() {
      const ids = await readdir(dir).catch((error: unknown) => {
        if (systemCode(error) === 'ENOENT') return []
        throw error
      })
      return Promise.all(ids.map(async (id) => ({ id, sizeBytes: (await sizeOfTree(join(dir, id))).sizeBytes })))
    },

    async [Symbol.asyncDispose]() {
      for (const opened of streams.values()) {
        const file = await opened.catch(() => undefined)
        if (file) await closeStream(file)
      }
      streams.clear()
    },
  }
}

/** What all streams have now, in order of arrival. */
async function* inOrder(readers: readonly StreamReader[]): AsyncGenerator<Placed> {
  const waiting = readers.map((reader) => ({ reader, entries: [] as Placed[], at: 0, isDone: false }))
  for (;;) {
    let first: (typeof waiting)[number] | undefined
    for (const one of waiting) {
      if (one.at === one.entries.length && !one.isDone) {
        one.entries = (await one.reader.next()) ?? []
        one.at = 0
        one.isDone = one.entries.length === 0
      }
      const head = one.entries[one.at]
      if (head && (!first || head.atMs < first.entries[first.at]!.atMs)) first = one
    }
    if (!first) return
    yield first.entries[first.at++]!
  }
}

async function* piecesOf(entry: Placed): AsyncGenerator<LogPiece> {
  const stream = entry.isNote ? 'note' : entry.stream
  for (let at = 0; at < entry.length; at += READ_BYTES) {
    const bytes = await readBytes(entry.data, entry.from + at, Math.min(READ_BYTES, entry.length - at))
    if (bytes.length === 0) return
    yield { atMs: entry.atMs, stream, bytes }
  }
}

function note(text: string, atMs: number): LogPiece {
  return { atMs, stream: 'note', bytes: Buffer.from(`[bareboat ${new Date(atMs).toISOString()}] ${text}\n`) }
}

const MAX_NOTE = 1000

/** What is told of a peer may have its words in it. */
function oneLine(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, MAX_NOTE)
}

function news(
  waiters: Map<string, Set<() => void>>,
  containerId: string,
  signal: AbortSignal | undefined,
  isThere: () => boolean,
): Promise<void> {
  return new Promise((resolve) => {
    const set = waiters.get(containerId) ?? new Set()
    waiters.set(containerId, set)
    const end = (): void => {
      set.delete(end)
      if (set.size === 0) waiters.delete(containerId)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    set.add(end)
    signal?.addEventListener('abort', end, { once: true })
    if (signal?.aborted || isThere()) end()
  })
}
