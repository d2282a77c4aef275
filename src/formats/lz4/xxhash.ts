/** xxHash32 over a stream (xxHash specification 0.1.1, XXH32), as LZ4 frames use it for their checksums. */

const PRIME1 = 0x9e3779b1
const PRIME2 = 0x85ebca77
const PRIME3 = 0xc2b2ae3d
const PRIME4 = 0x27d4eb2f
const PRIME5 = 0x165667b1
const STRIPE_BYTES = 16

/** Hashes what is given to `update`; `digest` is an unsigned 32-bit number. */
export class XxHash32 {
  #lanes = [(PRIME1 + PRIME2) | 0, PRIME2 | 0, 0, -PRIME1 | 0] as [number, number, number, number]
  readonly #held = new Uint8Array(STRIPE_BYTES)
  #heldLength = 0
  #total = 0

  update(bytes: Uint8Array): this {
    let at = 0
    this.#total += bytes.length
    if (this.#heldLength > 0) {
      at = Math.min(STRIPE_BYTES - this.#heldLength, bytes.length)
      this.#held.set(bytes.subarray(0, at), this.#heldLength)
      this.#heldLength += at
      if (this.#heldLength < STRIPE_BYTES) return this
      this.#stripes(this.#held, 0, STRIPE_BYTES)
      this.#heldLength = 0
    }
    const end = at + ((bytes.length - at) & ~(STRIPE_BYTES - 1))
    this.#stripes(bytes, at, end)
    this.#held.set(bytes.subarray(end), 0)
    this.#heldLength = bytes.length - end
    return this
  }

  digest(): number {
    const [a, b, c, d] = this.#lanes
    let hash = this.#total >= STRIPE_BYTES ? rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18) : PRIME5
    hash = (hash + this.#total) | 0
    let at = 0
    for (; at + 4 <= this.#heldLength; at += 4)
      hash = Math.imul(rotate((hash + Math.imul(word(this.#held, at), PRIME3)) | 0, 17), PRIME4)
    for (; at < this.#heldLength; at++)
      hash = Math.imul(rotate((hash + Math.imul(this.#held[at]!, PRIME5)) | 0, 11), PRIME1)
    hash = Math.imul(hash ^ (hash >>> 15), PRIME2)
    hash = Math.imul(hash ^ (hash >>> 13), PRIME3)
    return (hash ^ (hash >>> 16)) >>> 0
  }

  #stripes(bytes: Uint8Array, from: number, to: number): void {
    let [a, b, c, d] = this.#lanes
    for (let at = from; at < to; at += STRIPE_BYTES) {
      a = Math.imul(rotate((a + Math.imul(word(bytes, at), PRIME2)) | 0, 13), PRIME1)
      b = Math.imul(rotate((b + Math.imul(word(bytes, at + 4), PRIME2)) | 0, 13), PRIME1)
      c = Math.imul(rotate((c + Math.imul(word(bytes, at + 8), PRIME2)) | 0, 13), PRIME1)
      d = Math.imul(rotate((d + Math.imul(word(bytes, at + 12), PRIME2)) | 0, 13), PRIME1)
    }
    this.#lanes = [a, b, c, d]
  }
}

function rotate(value: number, by: number): number {
  return (value << by) | (value >>> (32 - by))
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}
