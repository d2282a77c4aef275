/** Reads the numbers, texts and bytes of a layer index, each within its bounds. */
import { WireError } from '../../base/errors.ts'
import type { ByteString } from './byte-string.ts'
import { PATH_BYTES } from './limits.ts'

export const WHAT = 'layer index'

export class IndexSource {
  readonly #bytes: Buffer
  readonly #end: number
  /** Offset of the next byte. */
  at: number
  /** The path read last: the next one says how much of it is the same. */
  #path: Buffer | undefined
  #pathLength = 0

  /** Of `bytes`, those from `at` (inclusive) to `end` (exclusive). */
  constructor(bytes: Uint8Array, at: number, end: number) {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.at = at
    this.#end = end
  }

  /** @throws {WireError} as all methods here, when the bytes end within the value or it is out of bounds */
  number(field: string, max = Number.MAX_SAFE_INTEGER): number {
    let value = 0
    let scale = 1
    for (let count = 0; count < 8; count += 1) {
      if (this.at >= this.#end) throw new WireError(WHAT, `it ends within ${field}`)
      const byte = this.#bytes[this.at++]!
      value += (byte & 0x7f) * scale
      scale *= 0x80
      if (byte >= 0x80) continue
      // A longer form of the same number would make two documents for one index.
      if (byte === 0 && count > 0) break
      if (value > max) throw new WireError(WHAT, `${field} is ${value}, at most ${max}`)
      return value
    }
    throw new WireError(WHAT, `${field} is not a number`)
  }

  signed(field: string): number {
    const isNegative = this.number(field, 1) === 1
    const value = this.number(field)
    return isNegative ? -value - 1 : value
  }

  text(field: string, max: number): ByteString {
    const from = this.#pass(this.number(field, max))
    return this.#bytes.toString('latin1', from, this.at)
  }

  /** A view on the bytes. */
  raw(length: number): Uint8Array {
    return this.#bytes.subarray(this.#pass(length), this.at)
  }

  /** A path, of which the beginning that it shares with the path before is left out. */
  path(): ByteString {
    const shared = this.number('shared bytes', this.#pathLength)
    const length = this.number('path', PATH_BYTES)
    const from = this.#pass(length)
    const path = (this.#path ??= Buffer.allocUnsafe(2 * PATH_BYTES))
    this.#bytes.copy(path, shared, from, this.at)
    this.#pathLength = shared + length
    if (this.#pathLength > PATH_BYTES) throw new WireError(WHAT, `a path of ${this.#pathLength} bytes`)
    return path.toString('latin1', 0, this.#pathLength)
  }

  /** Passes over so many numbers without a look at them. */
  skipNumbers(count: number): void {
    for (let left = count; left > 0; this.at += 1) {
      if (this.at >= this.#end) throw new WireError(WHAT, 'it ends within a number')
      if (this.#bytes[this.at]! < 0x80) left -= 1
    }
  }

  /** Passes over bytes behind their number. @returns where they begin */
  skipBytes(): number {
    return this.#pass(this.number('length'))
  }

  end(): void {
    if (this.at !== this.#end) throw new WireError(WHAT, `${this.#end - this.at} bytes too many`)
  }

  #pass(length: number): number {
    const from = this.at
    if (length > this.#end - from) throw new WireError(WHAT, `${length} bytes wanted, ${this.#end - from} left`)
    this.at += length
    return from
  }
}
