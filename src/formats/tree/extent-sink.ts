/** Collects a projection's extents; small pieces that follow each other become one piece of literal bytes. */
import type { Extent } from '../extents.ts'
import type { ByteString } from '../tar/byte-string.ts'

/** Zeros up to this many are cheaper as bytes than as an extent of their own. */
const LITERAL_ZEROS = 1024

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

  zeros(length: number): this {
    if (length <= LITERAL_ZEROS) {
      this.#room(length)
      this.#waiting.fill(0, this.#waitingLength, this.#waitingLength + length)
      this.#waitingLength += length
    } else this.#flush().push({ kind: 'zeros', length })
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
