/**
 * Reads of files that only yield what the page cache has: preadv2 with RWF_NOWAIT (Linux 4.14, preadv2(2)). Node reads either
 * synchronously, where a slow disk stops all connections of a thread, or by its pool, which costs a read that is in the cache
 * twenty times as much.
 */
import type { Libc } from '../libc.ts'

const RWF_NOWAIT = 8
const EAGAIN = 11

export interface CachedReads {
  /**
   * Reads up to `length` bytes into memory at `address`.
   * @returns how many there were in the cache; undefined where the file's file system cannot tell
   */
  read(fd: number, address: bigint, length: number, position: number): number | undefined
}

export function createCachedReads(libc: Libc): CachedReads {
  // struct iovec: an address and a length.
  const vector = Buffer.alloc(16)
  return {
    read(fd, address, length, position) {
      vector.writeBigUInt64LE(address, 0)
      vector.writeUInt32LE(length, 8)
      const got = libc.preadv2(fd, vector, 1, position, RWF_NOWAIT)
      if (got >= 0) return got
      return libc.errno() === EAGAIN ? 0 : undefined
    },
  }
}
