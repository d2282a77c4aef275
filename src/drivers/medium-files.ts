/** Files that were sent to be attached to machines: one each, under the id of the medium. */
import { open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeDirectory, syncDirectory } from './files.ts'
import type { MediumFiles } from '../services/media/ports.ts'

/** @param directory on the same file system as what is adopted */
export function openMediumFiles(directory: string): MediumFiles {
  makeDirectory(directory)
  const path = (id: string): string => join(directory, id)
  return {
    path,
    async adopt(id, from) {
      await using file = await open(from, 'r')
      await file.sync()
      const { size } = await file.stat()
      await rename(from, path(id))
      syncDirectory(directory)
      return { path: path(id), sizeBytes: size }
    },
    remove: (id) => rm(path(id), { force: true }),
    async tidy(ids) {
      for (const name of await readdir(directory)) if (!ids.has(name)) await rm(path(name), { force: true })
    },
  }
}
