/** Bytes for fuzzing: the same seed always gives the same inputs. */

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

const EDGES = [0, 1, 2, 4, 127, 128, 254, 255]

/** One input made of a sample: some bytes changed, cut, doubled or replaced; or, now and then, plain noise. */
export function mutate(samples: readonly Uint8Array[], random: () => number): Uint8Array {
  const below = (limit: number) => Math.floor(random() * limit)
  const kind = random()
  if (kind < 0.05) return Uint8Array.from({ length: below(700) }, () => below(256))
  const sample = samples[below(samples.length)]!
  if (kind < 0.25) return sample.slice(0, below(sample.length + 1))
  const bytes = sample.slice()
  for (let n = 1 + below(8); n > 0 && bytes.length > 0; n--)
    bytes[below(bytes.length)] = random() < 0.5 ? EDGES[below(EDGES.length)]! : below(256)
  if (kind < 0.9) return bytes
  const [from, to] = [below(bytes.length + 1), below(bytes.length + 1)].toSorted((a, b) => a - b)
  return Uint8Array.from([...bytes.subarray(0, to), ...bytes.subarray(from!)])
}
