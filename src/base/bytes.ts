/**
 * Bounds-checked reading and writing of bytes. Every codec of `wire/` and `formats/` goes through these two classes, so that
 * no length that a peer sent is trusted: a read past the end is a WireError, never `undefined` or a short slice.
 */
import { WireError } from './errors.ts'

const utf8 = new TextDecoder('utf-8')
const encoder = new TextEncoder()

/** Reads values from the front of a byte array. `what` names the document or packet in errors. */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #what: string
  #at = 0

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = what
  }

  /** Offset of the next byte. */
  get at(): number {
    return this.#at
  }

  /** How many bytes have not been read. */
  get left(): number {
    return this.#bytes.length - this.#at
  }

  /**
   * The next `length` bytes, as a view on the input (not a copy).
   * @throws {WireError} when fewer are left
   */
  take(length: number, field = 'bytes'): Uint8Array {
    const from = this.#step(length, field)
    return this.#bytes.subarray(from, from + length)
  }

  skip(length: number, field = 'bytes'): void {
    this.#step(length, field)
  }

  /** The next byte, which stays unread; undefined at the end. */
  peek(): number | undefined {
    return this.#bytes[this.#at]
  }

  /** All the bytes that are left. */
  rest(): Uint8Array {
    return this.take(this.left)
  }

  u8(field = 'byte'): number {
    return this.#view.getUint8(this.#step(1, field))
  }

  /** Big-endian (network order) unsigned integers. */
  u16(field = 'u16'): number {
    return this.#view.getUint16(this.#step(2, field))
  }

  u32(field = 'u32'): number {
    return this.#view.getUint32(this.#step(4, field))
  }

  u64(field = 'u64'): bigint {
    return this.#view.getBigUint64(this.#step(8, field))
  }

  /** Little-endian unsigned integers. */
  u16le(field = 'u16'): number {
    return this.#view.getUint16(this.#step(2, field), true)
  }

  u32le(field = 'u32'): number {
    return this.#view.getUint32(this.#step(4, field), true)
  }

  u64le(field = 'u64'): bigint {
    return this.#view.getBigUint64(this.#step(8, field), true)
  }

  /** `length` bytes as text, each byte one character (ISO 8859-1), without loss. */
  latin1(length: number, field = 'text'): string {
    const bytes = this.take(length, field)
    // Not TextDecoder: its `latin1` is windows-1252.
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  }

  utf8(length: number, field = 'text'): string {
    return utf8.decode(this.take(length, field))
  }

  /**
   * Bytes up to the next NUL, which is consumed and not returned.
   * @throws {WireError} when no NUL comes within `max` bytes
   */
  untilNul(max: number, field = 'text'): Uint8Array {
    const end = this.#bytes.indexOf(0, this.#at)
    if (end < 0 || end - this.#at > max)
      throw new WireError(this.#what, `${field} has no terminating NUL within ${max} bytes`)
    const value = this.#bytes.subarray(this.#at, end)
    this.#at = end + 1
    return value
  }

  #step(length: number, field: string): number {
    if (!Number.isInteger(length) || length < 0 || length > this.left)
      throw new WireError(this.#what, `${field} at offset ${this.#at}: ${length} bytes needed, ${this.left} left`)
    const from = this.#at
    this.#at += length
    return from
  }
}

const SLAB_BYTES = 65_536
let slab = new Uint8Array(SLAB_BYTES)
let slabAt = 0

/** Room for what is written, with bytes of others in it. A packet's is part of a slab: a buffer of its own costs more than all that is written. */
function room(length: number): Uint8Array {
  if (length > SLAB_BYTES / 16) return new Uint8Array(length)
  if (slabAt + length > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES)
    slabAt = 0
  }
  slabAt += length
  return slab.subarray(slabAt - length, slabAt)
}

/** Appends values to a growing byte array. Methods return the writer, so that a packet reads as one list. */
export class Writer {
  #bytes: Uint8Array
  #view: DataView
  #length = 0

  constructor(capacity = 256) {
    this.#bytes = room(capacity)
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, capacity)
  }

  get length(): number {
    return this.#length
  }

  u8(value: number): this {
    const at = this.#grow(1)
    this.#view.setUint8(at, value)
    return this
  }

  u16(value: number): this {
    const at = this.#grow(2)
    this.#view.setUint16(at, value)
    return this
  }

  u32(value: number): this {
    const at = this.#grow(4)
    this.#view.setUint32(at, value)
    return this
  }

  u64(value: bigint): this {
    const at = this.#grow(8)
    this.#view.setBigUint64(at, value)
    return this
  }

  u16le(value: number): this {
    const at = this.#grow(2)
    this.#view.setUint16(at, value, true)
    return this
  }

  u32le(value: number): this {
    const at = this.#grow(4)
    this.#view.setUint32(at, value, true)
    return this
  }

  u64le(value: bigint): this {
    const at = this.#grow(8)
    this.#view.setBigUint64(at, value, true)
    return this
  }

  bytes(value: Uint8Array): this {
    const at = this.#grow(value.length)
    this.#bytes.set(value, at)
    return this
  }

  utf8(value: string): this {
    return this.bytes(encoder.encode(value))
  }

  /** `length` zero bytes. */
  zeros(length: number): this {
    const at = this.#grow(length)
    this.#bytes.fill(0, at, at + length)
    return this
  }

  /** Zero bytes up to the next multiple of `boundary`. */
  align(boundary: number): this {
    return this.zeros((boundary - (this.#length % boundary)) % boundary)
  }

  /**
   * Bytes in a field of fixed width, zero-filled.
   * @throws {RangeError} when the value is longer than the field
   */
  field(value: Uint8Array, width: number): this {
    if (value.length > width) throw new RangeError(`Cannot write ${value.length} bytes into a field of ${width}`)
    return this.bytes(value).zeros(width - value.length)
  }

  /** What was written, as a copy of its exact size. */
  done(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  #grow(by: number): number {
    const from = this.#length
    const need = from + by
    if (need > this.#bytes.length) {
      const bigger = new Uint8Array(Math.max(need, this.#bytes.length * 2))
      bigger.set(this.#bytes.subarray(0, from))
      this.#bytes = bigger
      this.#view = new DataView(bigger.buffer)
    }
    this.#length = need
    return from
  }
}

/** Lower-case hexadecimal, without separators. */
export function toHex(bytes: Uint8Array): string {
  return bytes.toHex()
}

/** @throws {SyntaxError} when the text is not an even number of hexadecimal digits */
export function fromHex(text: string): Uint8Array {
  return Uint8Array.fromHex(text)
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
