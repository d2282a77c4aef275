/**
 * Decompresses LZ4 frames (lz4_Frame_format.md 1.6.4) and legacy frames (`lz4 -l`), any number of them one after the other.
 * Memory is bounded by the block size that the format allows (4 MiB; 8 MiB legacy) and the 64 KiB that a match may reach back.
 */
import { WireError } from '../../base/errors.ts'
import { XxHash32 } from './xxhash.ts'

const MAGIC = 0x184d2204
const LEGACY_MAGIC = 0x184c2102
const SKIPPABLE_MAGIC = 0x184d2a50
const WINDOW_BYTES = 64 << 10
const LEGACY_BLOCK_BYTES = 8 << 20
const BLOCK_BYTES: Readonly<Record<number, number>> = { 4: 64 << 10, 5: 256 << 10, 6: 1 << 20, 7: 4 << 20 }

/** Reads `length` bytes, or fewer at the end of the input. */
type Take = (length: number) => Generator<undefined, Uint8Array, Uint8Array | undefined>

export interface Lz4Decoder {
  /** What the next compressed bytes, cut anywhere, decompress to. @throws {WireError} */
  push(chunk: Uint8Array): Uint8Array[]
  /** @throws {WireError} when the input ends within a frame */
  end(): void
}

/** A push-style decoder. After an error it is of no use. */
export function createLz4Decoder(): Lz4Decoder {
  const out: Uint8Array[] = []
  let held: Uint8Array[] = []
  let heldBytes = 0
  let isEnded = false
  /** Asks for input until enough is held. */
  function* take(length: number): Generator<undefined, Uint8Array, Uint8Array | undefined> {
    while (heldBytes < length && !isEnded) yield undefined
    const all = held.length === 1 ? held[0]! : Buffer.concat(held)
    const taken = all.subarray(0, length)
    const rest = all.subarray(taken.length)
    held = rest.length > 0 ? [rest] : []
    heldBytes = rest.length
    return taken
  }
  const frames = readFrames(take, (bytes) => out.push(bytes))
  return {
    push(chunk) {
      held.push(chunk)
      heldBytes += chunk.length
      frames.next()
      return out.splice(0)
    },
    end() {
      isEnded = true
      frames.next()
    },
  }
}

function* readFrames(
  take: Take,
  emit: (bytes: Uint8Array) => void,
): Generator<undefined, void, Uint8Array | undefined> {
  for (let isFirst = true; ; isFirst = false) {
    const magic = yield* take(4)
    if (magic.length === 0 && !isFirst) return
    const value = magic.length === 4 ? u32(magic, 0) : 0
    if (value === MAGIC) yield* readFrame(take, emit)
    else if (value === LEGACY_MAGIC) return yield* readLegacyFrames(take, emit)
    else if ((value & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) yield* skipFrame(take)
    else throw bad(isFirst ? 'it does not begin with the magic of a frame' : 'bytes follow the last frame')
  }
}

function* skipFrame(take: Take): Generator<undefined, void, Uint8Array | undefined> {
  let left = u32(yield* exactly(take, 4), 0)
  while (left > 0) left -= (yield* exactly(take, Math.min(left, 1 << 20))).length
}

function* readFrame(take: Take, emit: (bytes: Uint8Array) => void): Generator<undefined, void, Uint8Array | undefined> {
  const [flags, sizes] = (yield* exactly(take, 2)) as unknown as [number, number]
  const maxBlock = BLOCK_BYTES[(sizes >> 4) & 7]
  if (flags >> 6 !== 1 || (flags & 2) !== 0 || (sizes & 0x8f) !== 0 || maxBlock === undefined)
    throw bad('its frame header is of a version or block size that does not exist')
  if ((flags & 1) !== 0) throw bad('it needs a dictionary')
  const contentSize = (flags & 8) === 0 ? undefined : yield* exactly(take, 8)
  const header = new XxHash32().update(Uint8Array.of(flags, sizes)).update(contentSize ?? new Uint8Array(0))
  if ((yield* exactly(take, 1))[0] !== ((header.digest() >>> 8) & 0xff)) throw bad('its header checksum is wrong')
  const isChained = (flags & 0x20) === 0
  const window = new BlockDecoder(maxBlock)
  const hash = (flags & 4) === 0 ? undefined : new XxHash32()
  let total = 0n
  for (;;) {
    const word = u32(yield* exactly(take, 4), 0)
    if (word === 0) break
    const length = word & 0x7fffffff
    if (length > maxBlock) throw bad(`a block is longer than ${maxBlock} bytes`)
    const block = yield* exactly(take, length)
    if ((flags & 0x10) !== 0 && u32(yield* exactly(take, 4), 0) !== new XxHash32().update(block).digest())
      throw bad('a block checksum is wrong')
    const plain = word >>> 31 === 1 ? window.keep(block, isChained) : window.decode(block, isChained)
    hash?.update(plain)
    total += BigInt(plain.length)
    emit(plain)
  }
  if (
    contentSize !== undefined &&
    new DataView(contentSize.buffer, contentSize.byteOffset, 8).getBigUint64(0, true) !== total
  )
    throw bad('its content has not the size that its header says')
  if (hash !== undefined && u32(yield* exactly(take, 4), 0) !== hash.digest())
    throw bad('its content checksum is wrong')
}

/** Legacy frames have neither end mark nor checksums; they end with the input, or where the next magic stands. */
function* readLegacyFrames(
  take: Take,
  emit: (bytes: Uint8Array) => void,
): Generator<undefined, void, Uint8Array | undefined> {
  const window = new BlockDecoder(LEGACY_BLOCK_BYTES)
  for (;;) {
    const size = yield* take(4)
    if (size.length === 0) return
    if (size.length < 4) throw bad('it ends within a frame')
    const length = u32(size, 0)
    if (length === LEGACY_MAGIC) continue
    if (length > LEGACY_BLOCK_BYTES + LEGACY_BLOCK_BYTES / 255 + 16) throw bad('a legacy block is longer than can be')
    emit(window.decode(yield* exactly(take, length), false))
  }
}

function* exactly(take: Take, length: number): Generator<undefined, Uint8Array, Uint8Array | undefined> {
  const bytes = yield* take(length)
  if (bytes.length < length) throw bad('it ends within a frame')
  return bytes
}

/** Decodes blocks (lz4_Block_format.md); keeps the last 64 KiB for blocks that refer back to them. */
class BlockDecoder {
  readonly #maxBlock: number
  /** First the window, then the block that is being decoded. Grows as blocks do, so that small frames cost little. */
  #buffer = new Uint8Array(4096)
  #windowBytes = 0

  constructor(maxBlock: number) {
    this.#maxBlock = maxBlock
  }

  /** A block that is stored as it is. */
  keep(block: Uint8Array, isChained: boolean): Uint8Array {
    if (!isChained) this.#windowBytes = 0
    const to = this.#windowBytes + block.length
    this.#room(to).set(block, this.#windowBytes)
    return this.#finish(to)
  }

  decode(block: Uint8Array, isChained: boolean): Uint8Array {
    if (!isChained) this.#windowBytes = 0
    let out = this.#buffer
    const limit = this.#windowBytes + this.#maxBlock
    let to = this.#windowBytes
    let at = 0
    const length = (nibble: number) => {
      let value = nibble
      if (nibble === 15)
        for (let more = 255; more === 255; value += more) {
          if (at >= block.length) throw bad('a length runs past the end of its block')
          more = block[at++]!
        }
      return value
    }
    while (at < block.length) {
      const token = block[at++]!
      const literals = length(token >> 4)
      if (literals > block.length - at || literals > limit - to) throw bad('literals run past the end of their block')
      if (to + literals > out.length) out = this.#room(to + literals)
      for (let i = 0; i < literals; i++) out[to++] = block[at++]!
      if (at === block.length) break
      if (block.length - at < 2) throw bad('a block ends within a match')
      const distance = block[at]! | (block[at + 1]! << 8)
      at += 2
      const matched = length(token & 15) + 4
      if (distance === 0 || distance > to) throw bad('a match reaches back before the beginning')
      if (matched > limit - to) throw bad('a match runs past the end of its block')
      if (to + matched > out.length) out = this.#room(to + matched)
      if (distance >= matched) out.copyWithin(to, to - distance, to - distance + matched)
      else for (let i = 0; i < matched; i++) out[to + i] = out[to + i - distance]!
      to += matched
    }
    return this.#finish(to)
  }

  /** The buffer, at least `length` long. */
  #room(length: number): Uint8Array<ArrayBuffer> {
    if (length > this.#buffer.length) {
      const bigger = new Uint8Array(Math.max(length, Math.min(this.#buffer.length * 2, WINDOW_BYTES + this.#maxBlock)))
      bigger.set(this.#buffer)
      this.#buffer = bigger
    }
    return this.#buffer
  }

  #finish(to: number): Uint8Array {
    const plain = this.#buffer.slice(this.#windowBytes, to)
    const keep = Math.min(to, WINDOW_BYTES)
    this.#buffer.copyWithin(0, to - keep, to)
    this.#windowBytes = keep
    return plain
  }
}

function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
}

function bad(why: string): WireError {
  return new WireError('lz4 data', why)
}
