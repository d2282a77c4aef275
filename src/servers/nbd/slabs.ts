/** Memory that replies are made in, used again and again. */

/** A read of 256 KiB, which clients like, with its heads; small enough for a processor's second cache. */
export const SLAB_BYTES = (256 << 10) + 4096
const KEPT = 8

export interface Slab {
  readonly bytes: Buffer
  /** Where `bytes` begin in memory, for calls of the C library; 0 where there are none. */
  readonly address: bigint
}

export interface Slabs {
  take(): Slab
  /** Gives back what nobody writes or sends any more. */
  give(slab: Slab): void
}

/** @param addressOf of a buffer of its own */
export function createSlabs(addressOf: (bytes: Buffer) => bigint): Slabs {
  const free: Slab[] = []
  return {
    take() {
      const slab = free.pop()
      if (slab !== undefined) return slab
      const bytes = Buffer.allocUnsafeSlow(SLAB_BYTES)
      return { bytes, address: addressOf(bytes) }
    },
    give(slab) {
      if (free.length < KEPT) free.push(slab)
    },
  }
}
