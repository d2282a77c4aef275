/** Files on disk as boot files: read in place, by range. */
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import type { BootFile } from '../services/boot/boot.ts'

/** @throws the system's error when there is no such file */
export async function fileAt(path: string): Promise<BootFile> {
  const { size } = await stat(path)
  return {
    sizeBytes: size,
    open(from, to, signal) {
      if (from >= to) return empty()
      return createReadStream(path, { start: from, end: to - 1, signal, highWaterMark: 1 << 20 })
    },
  }
}

/** A small file that is held in memory, since many machines ask for it at once. */
export async function heldFile(path: string): Promise<BootFile & { readonly bytes: Uint8Array }> {
  const bytes = new Uint8Array(await readFile(path))
  return {
    bytes,
    sizeBytes: bytes.length,
    async *open(from, to) {
      yield bytes.subarray(from, to)
    },
  }
}

async function* empty(): AsyncGenerator<Uint8Array> {}
