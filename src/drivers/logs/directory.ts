/**
 * Logs of containers as files. Each stream is one file of exactly the workload's bytes, so that its size is the offset where
 * the next bytes belong; beside it an index says when which bytes came: fixed records of 16 bytes, time and length. A crash
 * between the two leaves bytes without a time; they get the time of the next opening.
 */
import { open, readdir, rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { Reader, Writer } from '../../base/bytes.ts'
import type { Now } from '../../base/clock.ts'
import { systemCode } from '../../base/errors.ts'
import type { LogPiece, LogQuery, LogStore, LogStream } from '../../services/containers/ports.ts'
import type { LogFiles } from '../../services/store/ports.ts'
import { sizeOfTree } from '../disk.ts'
import { makeDirectory, syncDirectory } from '../files.ts'

const RECORD_BYTES = 16
const READ_BYTES = 256 * 1024

interface Stream {
  readonly data: FileHandle
  readonly index: FileHandle
  size: number
  records: number
  /** Appends are done one after the other. */
  tail: Promise<void>
  /** How many read it now. */
  readers: number
  /** Taken away: closed once nobody reads it any more. */
  isRemoved: boolean
}

interface Entry {
  readonly atMs: number
  readonly from: number
  readonly length: number
  readonly stream: LogStream
}

export function createLogDirectory(dir: string, now: Now): LogStore & LogFiles & AsyncDisposable {
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
      opened = openStream(join(dir, containerId), stream, now)
      streams.set(key, opened)
      opened.catch(() => streams.delete(key))
    }
    return opened
  }

  async function* piecesAsTheyCome(
    containerId: string,
    files: readonly Named[],
    query: LogQuery,
  ): AsyncGenerator<LogPiece> {
    const cursors: Cursors = new Map()
    let start: Entry[] | undefined = await firstEntries(files, cursors, query)
    for (;;) {
      const isClosed = closed.has(containerId) || files.some(({ file }) => file.isRemoved)
      const fresh = start ?? (await entriesAfter(files, cursors))
      start = undefined
      for (const entry of fresh) yield* piecesOf(files.find(({ name }) => name === entry.stream)!.file, entry)
      if (fresh.length > 0) continue
      if (!query.follow || isClosed || query.signal?.aborted) return
      await news(
        waiters,
        containerId,
        query.signal,
        () =>
          closed.has(containerId) || files.some(({ name, file }) => file.records > (cursors.get(name)?.records ?? 0)),
      )
    }
  }

  return {
    async append(containerId, stream, offset, bytes) {
      const file = await streamOf(containerId, stream)
      const before = file.tail
      const work = (async () => {
        await before
        const fresh = bytes.subarray(Math.max(0, file.size - offset))
        if (fresh.length === 0) return
        // What fails in the middle is written again at the same place: size and records say what counts.
        await writeAll(file.data, fresh, file.size)
        await file.data.datasync()
        await writeAll(file.index, record(now(), fresh.length), file.records * RECORD_BYTES)
        file.size += fresh.length
        file.records++
      })()
      file.tail = work.catch(() => {})
      await work
      wake(containerId)
    },

    async size(containerId, stream) {
      return (await streamOf(containerId, stream)).size
    },

    async *read(containerId, query) {
      const files = await Promise.all(
        query.streams.map(async (name) => ({ name, file: await streamOf(containerId, name) })),
      )
      for (const { file } of files) file.readers++
      try {
        yield* piecesAsTheyCome(containerId, files, query)
      } finally {
        for (const { file } of files) {
          file.readers--
          await closeUnused(file)
        }
      }
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
        await file.tail
        // Who reads it reads on to the end; the files have no name any more by then.
        file.isRemoved = true
        await closeUnused(file)
      }
      await rm(join(dir, containerId), { recursive: true, force: true })
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
        await file?.tail
        await file?.data.close()
        await file?.index.close()
      }
      streams.clear()
    },
  }
}

async function closeUnused(file: Stream): Promise<void> {
  if (!file.isRemoved || file.readers > 0) return
  await file.data.close()
  await file.index.close()
}

/** @throws when not all could be written, e.g. ENOSPC */
async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at)
    at += bytesWritten
  }
}

async function openStream(dir: string, stream: LogStream, now: Now): Promise<Stream> {
  makeDirectory(dir)
  const data = await openForUpdate(join(dir, stream))
  const index = await openForUpdate(join(dir, `${stream}.index`))
  const size = (await data.stat()).size
  // What is appended is durable only if the file's name is.
  if (size === 0) syncDirectory(dir)
  const records = Math.trunc((await index.stat()).size / RECORD_BYTES)
  const file: Stream = { data, index, size, records, tail: Promise.resolve(), readers: 0, isRemoved: false }
  const timed = (await readEntries(file, 0, 0, stream)).reduce((sum, entry) => sum + entry.length, 0)
  if (timed < size) {
    await index.write(record(now(), size - timed), 0, RECORD_BYTES, records * RECORD_BYTES)
    file.records++
  }
  return file
}

async function openForUpdate(path: string): Promise<FileHandle> {
  const made = await open(path, 'a', 0o600)
  await made.close()
  return open(path, 'r+')
}

function record(atMs: number, length: number): Uint8Array {
  return new Writer(RECORD_BYTES).u64(BigInt(atMs)).u64(BigInt(length)).done()
}

/** How far a reader has come in each stream: index records, and bytes. */
type Cursors = Map<LogStream, { readonly records: number; readonly offset: number }>

type Named = { readonly name: LogStream; readonly file: Stream }

async function readEntries(file: Stream, firstRecord: number, from: number, stream: LogStream): Promise<Entry[]> {
  const count = file.records - firstRecord
  if (count <= 0) return []
  const bytes = new Uint8Array(count * RECORD_BYTES)
  await file.index.read(bytes, 0, bytes.length, firstRecord * RECORD_BYTES)
  const reader = new Reader(bytes, 'log index')
  const entries: Entry[] = []
  let at = from
  for (let n = 0; n < count; n++) {
    const entry = { atMs: Number(reader.u64()), from: at, length: Number(reader.u64()), stream }
    entries.push(entry)
    at += entry.length
  }
  return entries
}

async function entriesAfter(files: readonly Named[], cursors: Cursors): Promise<Entry[]> {
  const all: Entry[] = []
  for (const { name, file } of files) {
    const { records, offset } = cursors.get(name) ?? { records: 0, offset: 0 }
    const entries = await readEntries(file, records, offset, name)
    const last = entries.at(-1)
    if (last) cursors.set(name, { records: records + entries.length, offset: last.from + last.length })
    all.push(...entries)
  }
  return all.toSorted((a, b) => a.atMs - b.atMs)
}

/** The entries that a query starts with: what is there now, without what is too old or before the last lines. */
async function firstEntries(
  files: readonly Named[],
  cursors: Cursors,
  { sinceMs, tailLines }: LogQuery,
): Promise<Entry[]> {
  const entries = (await entriesAfter(files, cursors)).filter((entry) => sinceMs === undefined || entry.atMs >= sinceMs)
  return tailLines === undefined ? entries : lastLines(files, entries, tailLines)
}

async function lastLines(files: readonly Named[], entries: readonly Entry[], lines: number): Promise<Entry[]> {
  if (lines <= 0) return []
  const kept: Entry[] = []
  let missing = lines
  let isLast = true
  for (const entry of entries.toReversed()) {
    const file = files.find(({ name }) => name === entry.stream)!.file
    const bytes = await readBytes(file, entry.from, entry.length)
    let cut = bytes.length
    // A newline at the very end closes the last line; it does not start another.
    if (isLast && bytes.at(-1) === 10) cut--
    isLast = false
    let at = cut
    while (missing > 0) {
      const newline = at === 0 ? -1 : bytes.lastIndexOf(10, at - 1)
      if (newline < 0) break
      missing--
      at = newline
      if (missing === 0) {
        const from = newline + 1
        kept.unshift({ ...entry, from: entry.from + from, length: entry.length - from })
        return kept
      }
    }
    kept.unshift(entry)
  }
  return kept
}

async function readBytes(file: Stream, from: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  const { bytesRead } = await file.data.read(bytes, 0, length, from)
  return bytes.subarray(0, bytesRead)
}

async function* piecesOf(file: Stream, entry: Entry): AsyncGenerator<LogPiece> {
  for (let at = 0; at < entry.length; at += READ_BYTES)
    yield {
      atMs: entry.atMs,
      stream: entry.stream,
      bytes: await readBytes(file, entry.from + at, Math.min(READ_BYTES, entry.length - at)),
    }
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
