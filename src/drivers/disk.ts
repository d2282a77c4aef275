/** How much room there is, and how much something takes. */
import { lstat, readdir, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../base/errors.ts'
import type { Disk } from '../services/store/ports.ts'

/** The file system that a path is on; `freeBytes` is what those without privileges may still take. */
export async function diskOf(path: string): Promise<Disk> {
  const { bsize, blocks, bavail } = await statfs(path)
  return { sizeBytes: blocks * bsize, freeBytes: bavail * bsize }
}

/** The files below a path, or the file that it is: how many, and their sizes. What goes away meanwhile does not count. */
export async function sizeOfTree(path: string): Promise<{ count: number; sizeBytes: number }> {
  const info = await lstat(path).catch(orUndefined)
  if (info === undefined) return { count: 0, sizeBytes: 0 }
  if (!info.isDirectory()) return { count: 1, sizeBytes: info.size }
  let count = 0
  let sizeBytes = 0
  for (const name of (await readdir(path).catch(orUndefined)) ?? []) {
    const below = await sizeOfTree(join(path, name))
    count += below.count
    sizeBytes += below.sizeBytes
  }
  return { count, sizeBytes }
}

function orUndefined(error: unknown): undefined {
  if (systemCode(error) !== 'ENOENT') throw error
}
