/**
 * Exports as a thread reads them: the rows of a stored extent map and the open files that they point into. What the page cache
 * has is read at once; what it has not is read by Node's pool, so that a slow disk delays only who asked.
 */
import { fstatSync, read, readSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { AppError, systemCode } from '../../base/errors.ts'
import { LITERALS, parseExtentRows, rowAt, storedRowsBytes, type StoredRows } from '../../formats/extent-map.ts'
import type { CachedReads } from './cached-reads.ts'
import type { DeviceFiles } from './messages.ts'
import type { Slab } from './slabs.ts'

/** Zeros shorter than this are sent with the data around them. */
const MIN_HOLE_BYTES = 4096
/** Exports that nobody reads stay open, since a machine that reboots comes back for them. */
const IDLE_DEVICES = 4
const HEAD_BYTES = 64

export class Device {
  readonly sizeBytes: number
  readonly #rows: StoredRows
  /** By source: the map itself, then its blobs. */
  readonly #files: readonly OpenFile[]
  readonly #cached: CachedReads | undefined

  constructor(rows: StoredRows, files: readonly OpenFile[], cached: CachedReads | undefined) {
    this.sizeBytes = rows.sizeBytes
    this.#rows = rows
    this.#files = files
    this.#cached = cached
  }

  /**
   * Fills `length` bytes of the slab from `at` on with those of the export from `offset` on.
   * @returns undefined when it is done; else what to wait for, which throws when the files cannot be read
   */
  fill(slab: Slab, at: number, offset: number, length: number): Promise<void> | undefined {
    const rows = this.#rows
    const { starts, lengths, sources, offsets } = rows
    const end = offset + length
    let misses: Promise<void>[] | undefined
    for (let row = rowAt(rows, offset), from = offset; from < end; row += 1) {
      const start = row < starts.length ? Math.min(starts[row]!, end) : end
      if (start > from) {
        slab.bytes.fill(0, at, at + start - from)
        at += start - from
        from = start
        if (from >= end) break
      }
      const skipped = from - starts[row]!
      const taken = Math.min(lengths[row]! - skipped, end - from)
      const source = sources[row]!
      const position = offsets[row]! + skipped + (source === LITERALS ? rows.literalsAt : 0)
      const miss = this.#read(this.#files[source]!, slab, at, position, taken)
      if (miss !== undefined) (misses ??= []).push(miss)
      at += taken
      from += taken
    }
    return misses && allDone(misses)
  }

  /** How many bytes from `offset` on, up to `length`, are data, or (negative) zeros that need not be sent. */
  run(offset: number, length: number): number {
    const rows = this.#rows
    const { starts, lengths } = rows
    const end = offset + length
    for (let row = rowAt(rows, offset), from = offset; from < end; row += 1) {
      const start = row < starts.length ? Math.min(starts[row]!, end) : end
      if (start - from >= MIN_HOLE_BYTES) return from === offset ? -(start - from) : from - offset
      if (row >= starts.length) break
      from = Math.max(from, starts[row]! + lengths[row]!)
    }
    return length
  }

  #read(file: OpenFile, slab: Slab, at: number, position: number, length: number): Promise<void> | undefined {
    if (this.#cached !== undefined && file.canReadCached) {
      const got = this.#cached.read(file.fd, slab.address + BigInt(at), length, position)
      if (got === length) return undefined
      if (got !== undefined) return readWaiting(file.fd, slab.bytes, at + got, position + got, length - got)
      file.canReadCached = false
    }
    for (let done = 0; done < length;) {
      const count = readSync(file.fd, slab.bytes, at + done, length - done, position + done)
      if (count === 0) return Promise.reject(cutShort(position + done))
      done += count
    }
    return undefined
  }
}

/** All of them have ended before one's error is told: until then they write into the slab. */
async function allDone(reads: readonly Promise<void>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(reads)) if (outcome.status === 'rejected') throw outcome.reason
}

async function readWaiting(fd: number, bytes: Buffer, at: number, position: number, length: number): Promise<void> {
  for (let done = 0; done < length;) {
    const count = await new Promise<number>((resolve, reject) =>
      read(fd, bytes, at + done, length - done, position + done, (error, got) => {
        if (error) reject(error)
        else resolve(got)
      }),
    )
    if (count === 0) throw cutShort(position + done)
    done += count
  }
}

function cutShort(position: number): AppError {
  return new AppError('internal', `Cannot read a file of an export: its bytes at ${position} are missing`)
}

interface OpenFile {
  readonly fd: number
  /** False once its file system has said that it cannot. */
  canReadCached: boolean
}

interface Held {
  readonly device: Promise<Device>
  users: number
}

/** The exports that a thread has open, each once for all its sessions. */
export class Devices implements AsyncDisposable {
  readonly #held = new Map<string, Held>()
  readonly #keyOf = new Map<Device, string>()
  readonly #files = new FileTable()
  readonly #cached: CachedReads | undefined

  constructor(cached: CachedReads | undefined) {
    this.#cached = cached
  }

  /** The export, to be given back. @throws {AppError} internal, when its files are not what they should be */
  async acquire(files: DeviceFiles): Promise<Device> {
    const key = [files.mapPath, ...files.blobPaths].join('\0')
    let held = this.#held.get(key)
    if (held === undefined) {
      held = { device: this.#open(files), users: 0 }
      this.#held.set(key, held)
    }
    held.users += 1
    try {
      const device = await held.device
      this.#keyOf.set(device, key)
      return device
    } catch (error) {
      if (this.#held.get(key) === held) this.#held.delete(key)
      throw error
    }
  }

  release(device: Device): void {
    const key = this.#keyOf.get(device)
    const held = key === undefined ? undefined : this.#held.get(key)
    if (key === undefined || held === undefined) return
    held.users -= 1
    if (held.users > 0) return
    // The youngest of those that are idle come last.
    this.#held.delete(key)
    this.#held.set(key, held)
    const idle = [...this.#held].filter(([, { users }]) => users === 0)
    for (const [name, { device: gone }] of idle.slice(0, -IDLE_DEVICES)) {
      this.#held.delete(name)
      void gone.then((closed) => this.#close(closed))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#held.clear()
    this.#keyOf.clear()
    await this.#files.closeAll()
  }

  async #open({ mapPath, blobPaths }: DeviceFiles): Promise<Device> {
    const paths = [mapPath, ...blobPaths]
    const files: OpenFile[] = []
    try {
      for (const path of paths) files.push(await this.#files.open(path))
      const rows = readRows(files[0]!.fd, mapPath)
      if (rows.blobs.length !== blobPaths.length)
        throw new AppError(
          'internal',
          `Cannot open export "${mapPath}": it is made of ${rows.blobs.length} blobs, ${blobPaths.length} were named`,
        )
      const device = new Device(rows, files, this.#cached)
      this.#pathsOf.set(device, paths)
      return device
    } catch (error) {
      await Promise.all(paths.slice(0, files.length).map((path) => this.#files.close(path)))
      throw error
    }
  }

  readonly #pathsOf = new WeakMap<Device, readonly string[]>()

  async #close(device: Device): Promise<void> {
    this.#keyOf.delete(device)
    await Promise.all((this.#pathsOf.get(device) ?? []).map((path) => this.#files.close(path)))
  }
}

function readRows(fd: number, path: string): StoredRows {
  try {
    const { size } = fstatSync(fd)
    const head = readWhole(fd, Math.min(HEAD_BYTES, size))
    return parseExtentRows(readWhole(fd, Math.min(storedRowsBytes(head), size)))
  } catch (cause) {
    throw new AppError('internal', `Cannot open export "${path}": its map cannot be read`, { cause })
  }
}

function readWhole(fd: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length)
  let done = 0
  while (done < length) {
    const count = readSync(fd, bytes, done, length - done, done)
    if (count === 0) break
    done += count
  }
  return bytes.subarray(0, done)
}

/** Files by path, each open once: exports share the layers that they have in common. */
class FileTable {
  readonly #open = new Map<string, { readonly handle: Promise<FileHandle>; file?: OpenFile; users: number }>()

  async open(path: string): Promise<OpenFile> {
    let entry = this.#open.get(path)
    if (entry === undefined) this.#open.set(path, (entry = { handle: open(path), users: 0 }))
    entry.users += 1
    try {
      const { fd } = await entry.handle
      return (entry.file ??= { fd, canReadCached: true })
    } catch (cause) {
      if (this.#open.get(path) === entry) this.#open.delete(path)
      const why = systemCode(cause) === 'ENOENT' ? 'there is none' : 'it cannot be opened'
      throw new AppError('internal', `Cannot open file "${path}" of an export: ${why}`, { cause })
    }
  }

  async close(path: string): Promise<void> {
    const entry = this.#open.get(path)
    if (entry === undefined || --entry.users > 0) return
    this.#open.delete(path)
    await (await entry.handle).close()
  }

  async closeAll(): Promise<void> {
    const handles = [...this.#open.values()].map(({ handle }) => handle)
    this.#open.clear()
    await Promise.allSettled(handles.map(async (handle) => (await handle).close()))
  }
}
