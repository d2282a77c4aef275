/** Seeded mutations of bytes for the fuzz tests: the same seed always gives the same inputs. */

/** A small generator of numbers 0 (included) to 1 (not), mulberry32. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

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
  return mutatorFrom(randomFrom(seed))
}

/** One input made of a sample: changed, cut short more often than by the way; or, now and then, plain noise. */
export function mutate(samples: readonly Uint8Array[], random: () => number): Uint8Array {
  const mutator = mutatorFrom(random)
  const kind = random()
  if (kind < 0.05) return mutator.random(700)
  const sample = mutator.pick(samples)
  return kind < 0.25 ? sample.slice(0, mutator.below(sample.length + 1)) : mutator.mutate(sample)
}

/** Edges of numbers, digits, and what separates texts. */
const EDGES = [0x00, 0x01, 0x02, 0x04, 0x7f, 0x80, 0xfe, 0xff, 0x20, 0x2e, 0x2f, 0x30, 0x37]

function mutatorFrom(next: () => number): Mutator {
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
        copy.fill(pick(EDGES), at, at + 1 + below(16))
        return copy
      case 3:
        return bytes.slice(0, at)
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
