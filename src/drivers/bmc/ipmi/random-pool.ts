/** Random bytes in small pieces: asking the system for sixteen takes longer than to encrypt a packet with them. */
import { randomBytes } from 'node:crypto'

const POOL_BYTES = 4096

let pool: Uint8Array = new Uint8Array()
let used = 0

/** Bytes that nobody has had before and nobody gets again. @param length up to 4096 */
export function nextRandom(length: number): Uint8Array {
  if (used + length > pool.length) {
    pool = randomBytes(POOL_BYTES)
    used = 0
  }
  used += length
  return pool.subarray(used - length, used)
}
