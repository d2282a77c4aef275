/** Growing output for layer indexes; base/bytes' Writer has no variable-length numbers, and millions of them are written. */
import type { ByteString } from './byte-string.ts'

export class IndexSink {
  #bytes: Buffer
  #length: number

  /** @param headBytes room left free at the front */
  constructor(headBytes = 0) {
    this.#bytes = Buffer.allocUnsafeSlow(headBytes + 1024)
    this.#length = headBytes
  }

  get length(): number {
    return this.#length
  }

  /** LEB128: 7 bits a byte, low first. */
  number(value: number): void {
    this.#room(8)
    let left = value
    while (left >= 0x80) {
      this.#bytes[this.#length++] = (left % 0x80) | 0x80
      left = Math.floor(left / 0x80)
    }
    this.#bytes[this.#length++] = left
  }

  /** The sign apart (zigzag would double the value, and round it beyond 2^53); -1 is 0 behind a sign. */
  signed(value: number): void {
    this.number(value < 0 ? 1 : 0)
    this.number(value < 0 ? -(value + 1) : value)
  }

  text(value: ByteString, from = 0): void {
    const length = value.length - from
    this.number(length)
    this.#room(length)
    this.#length += this.#bytes.write(from === 0 ? value : value.slice(from), this.#length, 'latin1')
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** What was written, without a copy: nothing may be written any more. The room at the front is included. */
  done(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return
    const bigger = Buffer.allocUnsafeSlow(Math.max(this.#length + more, this.#bytes.length * 2))
    this.#bytes.copy(bigger, 0, 0, this.#length)
    this.#bytes = bigger
  }
}
