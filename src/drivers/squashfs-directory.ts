/**
 * Images as squashfs files that machines load whole, each made once: `IMAGE-SHA256.squashfs`. The hash in the name is what a
 * machine holds the file against before it mounts it.
 */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../base/errors.ts'
import { digestParts, isDigest, type Digest } from '../formats/oci/digest.ts'
import type { BootFile } from '../services/boot/boot.ts'
import type { SquashfsFiles, StoredSquashfs } from '../services/store/ports.ts'
import { fileAt } from './boot-files.ts'
import { ASIDE, asideIn, publishFile, writeSynced } from './durable.ts'
import { makeDirectory, syncDirectory } from './files.ts'
import { sha256OfFile } from './hash-file.ts'

export interface SquashfsFile {
  readonly file: BootFile
  /** 64 hexadecimal digits. */
  readonly sha256: string
}

const NAME = /^([0-9a-f]{64,128})-([0-9a-f]{64})\.squashfs$/

export interface SquashfsDirectory extends SquashfsFiles {
  /** The squashfs of an image, made now where there is none. @throws what making it throws */
  of(imageId: Digest): Promise<SquashfsFile>
}

/**
 * Opens the directory, which need not be there, and clears away what was not finished.
 * @param make the bytes of an image's squashfs, made anew
 */
export async function openSquashfsDirectory(
  directory: string,
  make: (imageId: Digest) => Promise<AsyncIterable<Uint8Array>>,
): Promise<SquashfsDirectory> {
  makeDirectory(directory)
  for (const name of await readdir(directory))
    if (name.startsWith(ASIDE)) await rm(join(directory, name), { force: true })
  const underWay = new Map<string, Promise<SquashfsFile>>()

  async function stored(hex: string): Promise<SquashfsFile | undefined> {
    for (const name of await readdir(directory)) {
      const [, of, sha256] = NAME.exec(name) ?? []
      if (of === hex) return { file: { ...(await fileAt(join(directory, name))), etag: sha256! }, sha256: sha256! }
    }
    return undefined
  }

  async function put(imageId: Digest, hex: string): Promise<SquashfsFile> {
    const aside = asideIn(directory)
    try {
      await writeSynced(aside, await make(imageId))
      const sha256 = await sha256OfFile(aside)
      await publishFile(aside, join(directory, `${hex}-${sha256}.squashfs`))
    } finally {
      await rm(aside, { force: true })
    }
    return (await stored(hex))!
  }

  return {
    async of(imageId: Digest): Promise<SquashfsFile> {
      const { hex } = digestParts(imageId)
      const known = await stored(hex)
      if (known) return known
      const making = underWay.get(hex) ?? put(imageId, hex).finally(() => underWay.delete(hex))
      underWay.set(hex, making)
      return making
    },

    async list() {
      const found: StoredSquashfs[] = []
      for (const name of (await readdir(directory)).toSorted()) {
        const hex = NAME.exec(name)?.[1]
        const imageId = `${hex?.length === 64 ? 'sha256' : 'sha512'}:${hex}`
        const info = await stat(join(directory, name)).catch(orUndefined)
        if (isDigest(imageId) && info !== undefined) found.push({ imageId, sizeBytes: info.size })
      }
      return found
    },
    async remove(imageId) {
      const { hex } = digestParts(imageId)
      for (const name of await readdir(directory))
        if (NAME.exec(name)?.[1] === hex) await rm(join(directory, name), { force: true })
      syncDirectory(directory)
    },
    async faultOf(imageId, options) {
      const { hex } = digestParts(imageId)
      for (const name of await readdir(directory)) {
        const [, of, sha256] = NAME.exec(name) ?? []
        if (of !== hex) continue
        const actual = await sha256OfFile(join(directory, name), options).catch(orUndefined)
        if (actual !== undefined && actual !== sha256) return `its digest is sha256:${actual}`
      }
      return undefined
    },
  }
}

function orUndefined(error: unknown): undefined {
  if (systemCode(error) !== 'ENOENT') throw error
}
