/** The identity of a file system, made of what is in it. */
import { createHash } from 'node:crypto'

const DOMAIN = 'bareboat erofs 1\n'

/**
 * A UUID of version 8 (RFC 9562 §5.8, as its appendix B.2 makes one of SHA-256) of the digests of the layers, lowest first: the
 * same layers give the same file system, and it the same name.
 */
export function uuidOf(digests: readonly string[]): Uint8Array {
  const hash = createHash('sha256').update(DOMAIN)
  for (const digest of digests) hash.update(`${digest}\n`)
  const uuid = new Uint8Array(hash.digest().subarray(0, 16))
  uuid[6] = (uuid[6]! & 0x0f) | 0x80
  uuid[8] = (uuid[8]! & 0x3f) | 0x80
  return uuid
}
