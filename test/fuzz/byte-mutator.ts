/** Seeded mutations of bytes for the fuzz tests: the same seed gives the same inputs. */

export interface Mutator {
  /** A whole number from 0 to `below` - 1. */
  readonly below: (below: number) => number
  readonly pick: <T>(list: readonly T[]) => T
  /** A copy with one to eight changes: bits, bytes, numbers at the edge, pieces doubled, cut, moved; or cut short. */
  readonly mutate: (bytes: Uint8Array) => Uint8Array
  /** Up to `max` random bytes. */
  readonly random: (max: number) => Uint8Array
}

export function createMutator(seed: number): Mutator {
  let state = seed >>> 0
  // Mulberry32.
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!
  const random = (max: number): Uint8Array => Uint8Array.from({ length: below(max + 1) }, () => below(256))

  function change(bytes: Uint8Array): Uint8Array {
    const at = below(bytes.length)
    const copy = Uint8Array.from(bytes)
    switch (below(8)) {
      case 0:
        copy[at]! ^= 1 << below(8)
        return copy
      case 1:
        copy[at] = below(256)
        return copy
      case 2:
        copy.fill(pick([0x00, 0xff, 0x80, 0x7f, 0x30, 0x37, 0x20, 0x2f, 0x2e]), at, at + 1 + below(16))
        return copy
      case 3:
        return bytes.subarray(0, at)
      case 4:
        return join(bytes.subarray(0, at), bytes.subarray(Math.min(at + below(600), bytes.length)))
      case 5:
        return join(bytes.subarray(0, at), bytes.subarray(at, at + below(600)), bytes.subarray(at))
      case 6:
        return join(bytes.subarray(0, at), random(20), bytes.subarray(at))
      default:
        copy.copyWithin(at, below(bytes.length), below(bytes.length))
        return copy
    }
  }

  function mutate(bytes: Uint8Array): Uint8Array {
    let changed = bytes
    for (let count = 1 + below(below(4) === 0 ? 8 : 2); count > 0 && changed.length > 0; count -= 1)
      changed = change(changed)
    return changed
  }
  return { below, pick, mutate, random }
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}
