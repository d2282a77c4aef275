/** Files that survive a power cut: synced before their name is, and their name before anyone is told. */
import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { makeDirectory, syncDirectory } from './files.ts'

/** What a name begins with while its file is not to be used yet, or no more. */
export const ASIDE = '.tmp-'

export function asideIn(directory: string): string {
  return join(directory, `${ASIDE}${randomUUID()}`)
}

/** A new file with these bytes; its name is synced by the caller. */
export async function writeSynced(
  path: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  await using file = await open(path, 'wx', 0o644)
  for await (const chunk of chunks) await file.writeFile(chunk)
  await file.sync()
}

/** Gives a file that is on the disk its name in the same directory, in place of what has it. */
export async function publishFile(aside: string, path: string): Promise<void> {
  await rename(aside, path)
  syncDirectory(dirname(path))
}

/** The file with these bytes or the one that was there before, whatever happens. */
export async function replaceFile(
  path: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  makeDirectory(dirname(path))
  const aside = asideIn(dirname(path))
  try {
    await writeSynced(aside, chunks)
    await publishFile(aside, path)
  } finally {
    await rm(aside, { force: true })
  }
}
