/** Reads stored blobs: whole ranges, and the ranges of a projection that cuts many blobs. This is what boots machines. */
import type { FileHandle } from 'node:fs/promises'
import { AppError } from '../../base/errors.ts'
import { cutExtents, extentLength, type Extent } from '../../formats/extents.ts'
import type { BlobReader } from '../../services/images/ports.ts'

/** Size of a piece that is handed out. */
const PIECE_BYTES = 1 << 20
/** From here on a blob range is read straight into its place; shorter ones are cut from a window. */
const DIRECT_BYTES = 128 << 10
const MIN_WINDOW_BYTES = 64 << 10

/** A blob that is open. @param digest how errors name it */
export class OpenBlob implements BlobReader {
  readonly #digest: string
  readonly #file: FileHandle
  readonly sizeBytes: number

  constructor(digest: string, file: FileHandle, sizeBytes: number) {
    this.#digest = digest
    this.#file = file
    this.sizeBytes = sizeBytes
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafeSlow(length)
    await this.readInto(bytes, offset)
    return bytes
  }

  /** Fills `bytes` from `offset` on. */
  async readInto(bytes: Uint8Array, offset: number): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const { bytesRead } = await this.#file.read(bytes, at, bytes.length - at, offset + at)
      if (bytesRead === 0)
        throw new AppError(
          'internal',
          `Cannot read layer ${this.#digest}: bytes at ${offset + at} are missing, the blob has ${this.sizeBytes}; remove the image and pull it again`,
        )
      at += bytesRead
    }
  }

  async *stream(from: number, to: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    for (let at = from; at < to; at += PIECE_BYTES) {
      signal?.throwIfAborted()
      yield await this.read(at, Math.min(PIECE_BYTES, to - at))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close()
  }
}

/**
 * Bytes `from` to `to` of a projection, in pieces of up to 1 MiB; each piece is the reader's to keep.
 *
 * Small files of a tree mostly lie one after the other in their layer: they are cut from a window that is read ahead, which
 * grows while reading goes forward and shrinks where it jumps.
 */
export async function* readExtents(
  open: (blob: string) => Promise<OpenBlob>,
  extents: readonly Extent[],
  from: number,
  to: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  await using blobs = new OpenWindows(open)
  let piece = Buffer.allocUnsafeSlow(Math.max(Math.min(PIECE_BYTES, to - from), 0))
  let filled = 0
  let left = to - from
  for (const extent of cutExtents(extents, from, to)) {
    const length = extentLength(extent)
    for (let at = 0; at < length;) {
      const taken = Math.min(length - at, piece.length - filled)
      const target = piece.subarray(filled, filled + taken)
      if (extent.kind === 'bytes') target.set(extent.bytes.subarray(at, at + taken))
      else if (extent.kind === 'zeros') target.fill(0)
      else {
        const waiting = blobs.fill(extent.blob, target, extent.offset + at)
        if (waiting !== undefined) await waiting
      }
      at += taken
      filled += taken
      if (filled < piece.length) continue
      signal?.throwIfAborted()
      left -= filled
      yield piece
      piece = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, left))
      filled = 0
    }
  }
  if (filled > 0) yield piece.subarray(0, filled)
}

/** The blobs that one reader has open, each with its window. */
class OpenWindows implements AsyncDisposable {
  readonly #open: (blob: string) => Promise<OpenBlob>
  readonly #windows = new Map<string, Window>()

  constructor(open: (blob: string) => Promise<OpenBlob>) {
    this.#open = open
  }

  /** Fills `target` from the blob; returns nothing when no waiting was needed. */
  fill(blob: string, target: Uint8Array, offset: number): Promise<void> | undefined {
    const window = this.#windows.get(blob)
    if (window === undefined) return this.#openWindow(blob).then((opened) => opened.fill(target, offset))
    return window.fill(target, offset)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#windows.values()].map((window) => window.blob[Symbol.asyncDispose]()))
  }

  async #openWindow(blob: string): Promise<Window> {
    const window = new Window(await this.#open(blob))
    this.#windows.set(blob, window)
    return window
  }
}

class Window {
  readonly blob: OpenBlob
  #bytes = Buffer.alloc(0)
  #offset = 0
  #wantBytes = MIN_WINDOW_BYTES

  constructor(blob: OpenBlob) {
    this.blob = blob
  }

  fill(target: Uint8Array, offset: number): Promise<void> | undefined {
    if (target.length >= DIRECT_BYTES) return this.blob.readInto(target, offset)
    const start = offset - this.#offset
    if (start < 0 || start + target.length > this.#bytes.length) return this.#move(target, offset)
    this.#bytes.copy(target, 0, start, start + target.length)
    return undefined
  }

  async #move(target: Uint8Array, offset: number): Promise<void> {
    const ahead = offset - (this.#offset + this.#bytes.length)
    const isForward = ahead >= -target.length && ahead < this.#wantBytes
    this.#wantBytes = isForward ? Math.min(this.#wantBytes * 2, PIECE_BYTES) : MIN_WINDOW_BYTES
    const length = Math.min(this.#wantBytes, this.blob.sizeBytes - offset)
    if (length < target.length) return this.blob.readInto(target, offset)
    if (this.#bytes.buffer.byteLength < length) this.#bytes = Buffer.allocUnsafeSlow(PIECE_BYTES)
    const window = Buffer.from(this.#bytes.buffer, 0, length)
    this.#bytes = window.subarray(0, 0) // nothing is served from it should the read fail
    await this.blob.readInto(window, offset)
    this.#bytes = window
    this.#offset = offset
    window.copy(target, 0, 0, target.length)
  }
}
