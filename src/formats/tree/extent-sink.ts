/** Collects a projection's extents; small pieces that follow each other become one piece of literal bytes. */
import { Writer } from '../../base/bytes.ts'
import type { Extent } from '../extents.ts'
import type { ByteString } from '../tar/byte-string.ts'

/** Zeros up to this many are cheaper as bytes than as an extent of their own. */
const LITERAL_ZEROS = 1024

export class ExtentSink {
  readonly #extents: Extent[] = []
  #literal = new Writer()
  #length = 0

  /** Bytes so far. */
  get length(): number {
    return this.#length
  }

  bytes(bytes: Uint8Array): this {
    this.#literal.bytes(bytes)
    this.#length += bytes.length
    return this
  }

  text(text: ByteString): this {
    return this.bytes(Buffer.from(text, 'latin1'))
  }

  zeros(length: number): this {
    if (length <= LITERAL_ZEROS) this.#literal.zeros(length)
    else this.#flush().push({ kind: 'zeros', length })
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
    if (this.#literal.length > 0) {
      this.#extents.push({ kind: 'bytes', bytes: this.#literal.done() })
      this.#literal = new Writer()
    }
    return this.#extents
  }
}
