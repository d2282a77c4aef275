/**
 * Kits as directories under their digest, imported kernels and initrds beside them. A kit is written aside, synced and renamed;
 * it is removed by a rename too, so that no half of one is ever seen.
 */
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { explain, systemCode } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { BootFileKind, ImportedBootFile, KeptKit, KitStore } from '../../services/kits/ports.ts'
import { ASIDE, asideIn, replaceFile, writeSynced } from '../durable.ts'
import { makeDirectory, syncDirectory } from '../files.ts'
import { sha256OfFile } from '../hash-file.ts'

const FOLDERS = { kernel: 'kernels', initrd: 'initrds' } as const
/** A kit of the first architecture had the only default once: it keeps the plain name. */
const PLAIN_DEFAULT = 'amd64'
/** What is aside for longer was left by a process that died; another daemon may be writing the rest. Milliseconds. */
const LEFT_OVER_MS = 86_400_000

/** Opens the directory, which need not be there, and clears away what killed processes have left in it. */
export async function openKitDirectory(directory: string, log: Log): Promise<KitStore> {
  const imports = join(directory, 'imports')
  for (const folder of [directory, ...Object.values(FOLDERS).map((name) => join(imports, name))])
    await clearLeftOvers(folder).catch((error: unknown) =>
      log.warn('unfinished kits not cleared away', { folder, why: explain(error) }),
    )
  const importPath = (kind: BootFileKind, name: string): string => join(imports, FOLDERS[kind], name)
  const defaultPath = (architecture: string): string =>
    join(directory, architecture === PLAIN_DEFAULT ? 'default' : `default-${architecture}`)
  const digests = createDigests()

  return {
    async list() {
      const names = (await namesIn(directory)).filter((name) => /^[0-9a-f]{64}$/.test(name))
      const kits = await Promise.all(names.map((hex) => readKit(directory, hex)))
      return kits.filter((kit) => kit !== undefined)
    },
    pathOf: (hex, file) => join(directory, hex, file),
    sha256Of: (hex, file, options) => sha256OfFile(join(directory, hex, file), options).catch(orUndefined),
    put: (hex, files) => putKit(directory, hex, files),

    async remove(hex) {
      const aside = asideIn(directory)
      await rename(join(directory, hex), aside)
      syncDirectory(directory)
      await rm(aside, { recursive: true })
    },

    async readDefault(architecture) {
      return (await readFile(defaultPath(architecture), 'utf8').catch(orUndefined))?.trim()
    },
    async setDefault(architecture, hex) {
      const path = defaultPath(architecture)
      if (hex !== undefined) return replaceFile(path, [new TextEncoder().encode(`${hex}\n`)])
      await rm(path, { force: true })
      syncDirectory(directory)
    },

    async listImports() {
      const found: ImportedBootFile[] = []
      for (const kind of ['kernel', 'initrd'] as const)
        for (const name of (await namesIn(join(imports, FOLDERS[kind]))).toSorted()) {
          const path = importPath(kind, name)
          const info = await stat(path).catch(orUndefined)
          if (!info) continue
          const digest = await digests.of(path, info)
          found.push({ name, kind, digest, sizeBytes: info.size, createdAt: Math.trunc(info.mtimeMs) })
        }
      return found
    },
    async importedPath(kind, name) {
      const path = importPath(kind, name)
      return (await stat(path).catch(orUndefined)) && path
    },
    putImport: (kind, name, chunks) => replaceFile(importPath(kind, name), chunks),
    async removeImport(kind, name) {
      const path = importPath(kind, name)
      await rm(path)
      syncDirectory(dirname(path))
    },
  }
}

async function readKit(directory: string, hex: string): Promise<KeptKit | undefined> {
  const path = join(directory, hex, 'manifest.json')
  const manifest = await readFile(path).catch(orUndefined)
  const info = await stat(path).catch(orUndefined)
  return manifest && info && { hex, manifest, createdAt: Math.trunc(info.mtimeMs) }
}

async function putKit(directory: string, hex: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  makeDirectory(directory)
  const aside = asideIn(directory)
  const target = join(directory, hex)
  try {
    for (const [name, bytes] of files) {
      makeDirectory(dirname(join(aside, name)))
      await writeSynced(join(aside, name), [bytes])
    }
    for (const folder of new Set([...files.keys()].map(dirname))) syncDirectory(join(aside, folder))
    try {
      await rename(aside, target)
    } catch (error) {
      if (systemCode(error) !== 'ENOTEMPTY' && systemCode(error) !== 'EEXIST') throw error
      if (await isThere(target, files)) return
      await rename(aside, target)
    }
    try {
      syncDirectory(directory)
    } catch (cause) {
      // Who asks again must not find it and take it for durable.
      await rename(target, aside)
      throw cause
    }
  } finally {
    await rm(aside, { recursive: true, force: true })
  }
}

/** Whether the kit is there already, whole. One with other bytes, by a disk that lost some, is put out of the way. */
async function isThere(target: string, files: ReadonlyMap<string, Uint8Array>): Promise<boolean> {
  let isWhole = true
  for (const [name, bytes] of files) {
    const found = await readFile(join(target, name)).catch(orUndefined)
    isWhole &&= found !== undefined && found.equals(bytes)
  }
  if (isWhole) {
    syncDirectory(dirname(target))
    return true
  }
  const aside = asideIn(dirname(target))
  await rename(target, aside)
  await rm(aside, { recursive: true })
  return false
}

/** Digests of files, taken again only when a file has changed: what is listed is often listed again. */
function createDigests() {
  const known = new Map<string, { readonly size: number; readonly mtimeMs: number; readonly digest: string }>()
  return {
    async of(path: string, { size, mtimeMs }: { size: number; mtimeMs: number }): Promise<string> {
      const found = known.get(path)
      if (found?.size === size && found.mtimeMs === mtimeMs) return found.digest
      const digest = `sha256:${await sha256OfFile(path)}`
      known.set(path, { size, mtimeMs, digest })
      return digest
    },
  }
}

async function clearLeftOvers(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(orEmpty)) {
    if (!name.startsWith(ASIDE)) continue
    const info = await stat(join(folder, name)).catch(orUndefined)
    if (info && Date.now() - info.mtimeMs > LEFT_OVER_MS) await rm(join(folder, name), { recursive: true, force: true })
  }
}

/** What is in a folder, without what is aside. */
async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(orEmpty)).filter((name) => !name.startsWith('.'))
}

function orUndefined(error: unknown): undefined {
  if (systemCode(error) !== 'ENOENT') throw error
}

function orEmpty(error: unknown): string[] {
  if (systemCode(error) !== 'ENOENT') throw error
  return []
}
