/** Blocks and their digests: what dm-verity and the leaves that layers keep have in common. SHA-256, no salt. */
import { hash } from 'node:crypto'

/** Of data and of hashes alike: the page of every processor that we boot. */
export const BLOCK_BYTES = 4096
export const DIGEST_BYTES = 32
/** Digests in one block of hashes. */
export const FANOUT = BLOCK_BYTES / DIGEST_BYTES

/** Writes the digest of `bytes`, whole, to `at` of `out`. */
export function digestInto(bytes: Uint8Array, out: Buffer, at: number): void {
  // A string of one character a byte: a buffer for each of millions of digests costs a fifth of the time that hashing takes.
  out.write(hash('sha256', bytes, 'latin1'), at, DIGEST_BYTES, 'latin1')
}

export function digestOf(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer')
}
