/** A stream as it is written: parts one after the other, of which the oldest go when there are too many. */
import { readdir } from 'node:fs/promises'
import type { Now } from '../../base/clock.ts'
import { systemCode } from '../../base/errors.ts'
import type { LogStream } from '../../services/containers/ports.ts'
import { makeDirectory } from '../files.ts'
import { appendTo, closeSegment, finishSegment, openSegment, removeSegment, type Segment } from './segment.ts'

/** How much of a stream is kept. */
export interface Rotation {
  /** A part that would become larger is followed by the next one. */
  readonly fileBytes: number
  /** Parts that are kept, the one that is written to included. */
  readonly files: number
}

export interface Stream {
  readonly name: LogStream
  readonly dir: string
  readonly rotation: Rotation | undefined
  current: Segment
  /** Numbers of the finished parts that are still there, oldest first. */
  readonly older: number[]
  /** How many bytes came before the current part. */
  base: number
  /** Appends are done one after the other. */
  tail: Promise<void>
  isRemoved: boolean
}

/** Bytes that come in tiny pieces have an index as large as they are: it is bounded too. */
const MAX_RECORDS = 65_536

export async function openStream(
  dir: string,
  name: LogStream,
  rotation: Rotation | undefined,
  now: Now,
): Promise<Stream> {
  makeDirectory(dir)
  const numbers = rotation ? await segmentNumbers(dir, name) : []
  const newest = numbers.pop() ?? 0
  const current = await openSegment(dir, name, newest, now)
  const stream: Stream = {
    name,
    dir,
    rotation,
    current,
    older: numbers,
    base: 0,
    tail: Promise.resolve(),
    isRemoved: false,
  }
  await removeOld(stream)
  return stream
}

/** Appends what is not there yet. @param offset where the bytes begin in the stream */
export function append(stream: Stream, offset: number, bytes: Uint8Array, now: Now): Promise<boolean> {
  return inTurn(stream, async () => {
    const fresh = bytes.subarray(Math.max(0, sizeOf(stream) - offset))
    if (fresh.length === 0) return false
    await makeRoom(stream, fresh.length, now)
    await appendTo(stream.current, fresh, now(), false)
    return true
  })
}

/** Appends a line that is not of the stream itself. */
export function appendNote(stream: Stream, text: string, now: Now): Promise<boolean> {
  return inTurn(stream, async () => {
    const atMs = now()
    await makeRoom(stream, text.length + MAX_NOTE_FRAME, now)
    const { isLineStart } = stream.current
    const line = `${isLineStart ? '' : '\n'}[bareboat ${new Date(atMs).toISOString()}] ${text}\n`
    await appendTo(stream.current, Buffer.from(line), atMs, true)
    return true
  })
}

const MAX_NOTE_FRAME = 64

export function sizeOf({ base, current }: Stream): number {
  return base + current.size
}

export async function closeStream(stream: Stream): Promise<void> {
  await stream.tail
  await closeSegment(stream.current)
}

async function inTurn<T>(stream: Stream, work: () => Promise<T>): Promise<T> {
  const done = stream.tail.then(work)
  stream.tail = done.then(
    () => {},
    () => {},
  )
  return done
}

async function makeRoom(stream: Stream, more: number, now: Now): Promise<void> {
  const { current, rotation, dir, name } = stream
  if (!rotation || current.records === 0) return
  if (current.size + more <= rotation.fileBytes && current.records < MAX_RECORDS) return
  const next = await openSegment(dir, name, current.number + 1, now)
  await finishSegment(current)
  stream.base += current.size
  stream.current = next
  stream.older.push(current.number)
  await closeSegment(current)
  await removeOld(stream)
}

async function removeOld({ older, rotation, dir, name }: Stream): Promise<void> {
  while (rotation && older.length > rotation.files - 1) {
    await removeSegment(dir, name, older[0]!)
    older.shift()
  }
}

/** The parts on the disk, oldest first; of a part that was not removed whole the rest is. */
export async function segmentNumbers(dir: string, name: string): Promise<number[]> {
  const names = await readdir(dir).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  })
  const pattern = new RegExp(`^${name}(?:\\.([1-9]\\d{0,14}))?(\\.index)?$`)
  const found = { data: new Set<number>(), index: new Set<number>() }
  for (const file of names) {
    const match = pattern.exec(file)
    if (match) found[match[2] ? 'index' : 'data'].add(Number(match[1] ?? 0))
  }
  for (const number of found.index) if (!found.data.has(number)) await removeSegment(dir, name, number)
  return [...found.data].toSorted((a, b) => a - b)
}
