/**
 * One part of a stream on the disk. Its file holds exactly the bytes as they came, and between them the notes of those who
 * recorded them; beside it an index says when which bytes came, and which are a note: fixed records of 16 bytes, time and length.
 * A crash between the two leaves bytes without a time; they get the time of the next opening.
 */
import { open, rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { Reader, Writer } from '../../base/bytes.ts'
import type { Now } from '../../base/clock.ts'
import { syncDirectory } from '../files.ts'

export const RECORD_BYTES = 16
/** In the length of a record: its bytes are a note. */
const NOTE = 1n << 63n
/** Records that are read at once. */
const MAX_RECORDS_AT_ONCE = 65_536

/** The part that is written to. */
export interface Segment {
  readonly number: number
  readonly data: FileHandle
  readonly index: FileHandle
  /** What counts of the two files, bytes and records: what is behind them was not written whole. */
  size: number
  records: number
  /** The last byte is a newline, or there is none yet. */
  isLineStart: boolean
}

export interface Entry {
  readonly atMs: number
  readonly from: number
  readonly length: number
  readonly isNote: boolean
}

/** The first part has the stream's name, so that a stream that is never rotated is one file. */
export function segmentPath(dir: string, stream: string, number: number): string {
  return join(dir, number === 0 ? stream : `${stream}.${number}`)
}

/** Opens a part to write to its end, and makes it where it is missing. */
export async function openSegment(dir: string, stream: string, number: number, now: Now): Promise<Segment> {
  const path = segmentPath(dir, stream, number)
  const data = await openForUpdate(path)
  try {
    const index = await openForUpdate(`${path}.index`)
    try {
      const size = (await data.stat()).size
      // What is appended is durable only if the file's name is.
      if (size === 0) syncDirectory(dir)
      const last = await readBytes(data, Math.max(0, size - 1), 1)
      const segment = { number, data, index, size, records: 0, isLineStart: size === 0 || last[0] === LF }
      const timed = await countRecords(segment)
      if (timed < size) {
        const rest = record({ atMs: now(), length: size - timed, isNote: false })
        await writeAll(index, rest, segment.records * RECORD_BYTES)
        segment.records++
      }
      return segment
    } catch (error) {
      await index.close()
      throw error
    }
  } catch (error) {
    await data.close()
    throw error
  }
}

const LF = 10

/** Counts the records that the bytes bear out. @returns how many bytes they cover */
async function countRecords(segment: Segment): Promise<number> {
  let timed = 0
  for (;;) {
    const entries = await readEntries(segment.index, segment.records, Infinity, timed)
    if (entries.length === 0) return timed
    for (const { length } of entries) {
      if (timed + length > segment.size) return timed
      timed += length
      segment.records++
    }
  }
}

/** Durable when it returns. What fails in the middle is written again at the same place. */
export async function appendTo(segment: Segment, bytes: Uint8Array, atMs: number, isNote: boolean): Promise<void> {
  await writeAll(segment.data, bytes, segment.size)
  await segment.data.datasync()
  await writeAll(segment.index, record({ atMs, length: bytes.length, isNote }), segment.records * RECORD_BYTES)
  segment.size += bytes.length
  segment.records++
  segment.isLineStart = bytes.at(-1) === LF
}

/** Cuts off what does not count, so that the sizes of the files say all. */
export async function finishSegment({ data, index, size, records }: Segment): Promise<void> {
  await data.truncate(size)
  await index.truncate(records * RECORD_BYTES)
}

export async function closeSegment({ data, index }: Segment): Promise<void> {
  await data.close()
  await index.close()
}

export async function removeSegment(dir: string, stream: string, number: number): Promise<void> {
  const path = segmentPath(dir, stream, number)
  await rm(path, { force: true })
  await rm(`${path}.index`, { force: true })
}

/**
 * Entries of an index from record `first` up to `end`, at most 65,536 of them.
 * @param from offset of the first one's bytes
 */
export async function readEntries(index: FileHandle, first: number, end: number, from: number): Promise<Entry[]> {
  const count = Math.min(end - first, MAX_RECORDS_AT_ONCE)
  if (count <= 0) return []
  const bytes = await readBytes(index, first * RECORD_BYTES, count * RECORD_BYTES)
  const reader = new Reader(bytes, 'log index')
  const entries: Entry[] = []
  let at = from
  for (let n = 0; n < Math.trunc(bytes.length / RECORD_BYTES); n++) {
    const atMs = Number(reader.u64())
    const word = reader.u64()
    const entry = { atMs, from: at, length: Number(word & ~NOTE), isNote: (word & NOTE) !== 0n }
    entries.push(entry)
    at += entry.length
  }
  return entries
}

/** Bytes of a file; fewer where it ends before. */
export async function readBytes(file: FileHandle, from: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  const { bytesRead } = await file.read(bytes, 0, length, from)
  return bytes.subarray(0, bytesRead)
}

function record({ atMs, length, isNote }: Omit<Entry, 'from'>): Uint8Array {
  return new Writer(RECORD_BYTES)
    .u64(BigInt(atMs))
    .u64(BigInt(length) | (isNote ? NOTE : 0n))
    .done()
}

async function openForUpdate(path: string): Promise<FileHandle> {
  const made = await open(path, 'a', 0o600)
  await made.close()
  return open(path, 'r+')
}

/** @throws when not all could be written, e.g. ENOSPC */
async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at)
    at += bytesWritten
  }
}
