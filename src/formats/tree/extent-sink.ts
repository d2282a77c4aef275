/**
 * Collects a projection's extents. Small pieces that follow each other become one piece of literal bytes; headers of files, of
 * which there may be a million, are made when they are read.
 */
import type { Extent } from '../extents.ts'
import type { ByteString } from '../tar/byte-string.ts'

/** Short runs of zeros, as they come behind every file: one extent for all of the same length. */
const SHORT_ZEROS: readonly Extent[] = Array.from({ length: 513 }, (_, length) =>
  Object.freeze({ kind: 'zeros', length }),
)

/** Makes the bytes that stand for the entry at a position of the tree. It must always make the same. */
export type Maker = (position: number) => Uint8Array

class MadeBytes {
  readonly kind = 'bytes'
  readonly length: number
  readonly #position: number
  readonly #make: Maker

  constructor(length: number, position: number, make: Maker) {
    this.length = length
    this.#position = position
    this.#make = make
  }

  get bytes(): Uint8Array {
    return this.#make(this.#position)
  }
}

export class ExtentSink {
  readonly #extents: Extent[] = []
  /** Literal bytes that wait for the next extent. One buffer serves all: a projection has one piece for every file. */
  #waiting = new Uint8Array(4096)
  #waitingLength = 0
  #length = 0

  /** Bytes so far. */
  get length(): number {
    return this.#length
  }

  bytes(bytes: Uint8Array): this {
    this.#room(bytes.length)
    this.#waiting.set(bytes, this.#waitingLength)
    this.#waitingLength += bytes.length
    this.#length += bytes.length
    return this
  }

  text(text: ByteString): this {
    return this.bytes(Buffer.from(text, 'latin1'))
  }

  /** `length` bytes that `make` gives when they are read. */
  made(length: number, position: number, make: Maker): this {
    this.#flush().push(new MadeBytes(length, position, make))
    this.#length += length
    return this
  }

  zeros(length: number): this {
    if (length === 0) return this
    this.#flush().push(SHORT_ZEROS[length] ?? { kind: 'zeros', length })
    this.#length += length
    return this
  }

  /** Zeros up to the next multiple of `boundary`. */
  align(boundary: number): this {
    return this.zeros((boundary - (this.#length % boundary)) % boundary)
  }

  extents(extents: readonly Extent[]): this {
    for (const extent of extents)
      if (extent.kind === 'bytes') this.bytes(extent.bytes)
      else if (extent.kind === 'zeros') this.zeros(extent.length)
      else {
        this.#flush().push(extent)
        this.#length += extent.length
      }
    return this
  }

  done(): Extent[] {
    return this.#flush()
  }

  #flush(): Extent[] {
    if (this.#waitingLength > 0) {
      this.#extents.push({ kind: 'bytes', bytes: this.#waiting.slice(0, this.#waitingLength) })
      this.#waitingLength = 0
    }
    return this.#extents
  }

  #room(more: number): void {
    const need = this.#waitingLength + more
    if (need <= this.#waiting.length) return
    const bigger = new Uint8Array(Math.max(need, 2 * this.#waiting.length))
    bigger.set(this.#waiting.subarray(0, this.#waitingLength))
    this.#waiting = bigger
  }
}
