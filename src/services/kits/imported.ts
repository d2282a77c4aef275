/** The kernels and initrds that a site brought itself, as files under the kits' directory. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError, systemCode } from '../../base/errors.ts'

export interface ImportedBootFile {
  readonly name: string
  readonly kind: 'kernel' | 'initrd'
  /** `sha256:…` */
  readonly digest: string
  readonly sizeBytes: number
  /** Milliseconds since the epoch. */
  readonly createdAt: number
}

const FOLDERS = { kernel: 'kernels', initrd: 'initrds' } as const

/** All imported files, kernels first, by name. */
export async function listImported(directory: string): Promise<ImportedBootFile[]> {
  const found: ImportedBootFile[] = []
  for (const kind of ['kernel', 'initrd'] as const) {
    const folder = join(directory, 'imports', FOLDERS[kind])
    for (const name of (await names(folder)).toSorted()) {
      const { size, mtimeMs } = await stat(join(folder, name))
      const digest = `sha256:${await sha256File(join(folder, name))}`
      found.push({ name, kind, digest, sizeBytes: size, createdAt: Math.trunc(mtimeMs) })
    }
  }
  return found
}

/** @throws {AppError} not_found */
export async function removeImported(directory: string, kind: 'kernel' | 'initrd', name: string): Promise<void> {
  const folder = join(directory, 'imports', FOLDERS[kind])
  if (!(await names(folder)).includes(name))
    throw new AppError('not_found', `Cannot remove ${kind} "${name}": nothing of that name was imported`)
  await rm(join(folder, name))
}

async function names(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => !name.startsWith('.'))
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
}

async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const bytes of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>)
    hash.update(bytes)
  return hash.digest('hex')
}
