/**
 * Images as squashfs files that machines load whole, each made once: `IMAGE-SHA256.squashfs`. The hash in the name is what a
 * machine holds the file against before it mounts it.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { digestParts, type Digest } from '../formats/oci/digest.ts'
import type { BootFile } from '../services/boot/boot.ts'
import { fileAt } from './boot-files.ts'
import { ASIDE, asideIn, publishFile, writeSynced } from './durable.ts'
import { makeDirectory } from './files.ts'

export interface SquashfsFile {
  readonly file: BootFile
  /** 64 hexadecimal digits. */
  readonly sha256: string
}

const NAME = /^([0-9a-f]{64,128})-([0-9a-f]{64})\.squashfs$/

/**
 * Opens the directory, which need not be there; clears away what was not finished, and the files of images that are gone.
 * @param make the bytes of an image's squashfs, made anew
 */
export async function openSquashfsDirectory(
  directory: string,
  imageIds: ReadonlySet<Digest>,
  make: (imageId: Digest) => Promise<AsyncIterable<Uint8Array>>,
) {
  makeDirectory(directory)
  const hexes = new Set([...imageIds].map((imageId) => digestParts(imageId).hex))
  for (const name of await readdir(directory))
    if (name.startsWith(ASIDE) || !hexes.has(NAME.exec(name)?.[1] ?? ''))
      await rm(join(directory, name), { force: true })
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
      const sha256 = await sha256Of(aside)
      await publishFile(aside, join(directory, `${hex}-${sha256}.squashfs`))
    } finally {
      await rm(aside, { force: true })
    }
    return (await stored(hex))!
  }

  return {
    /** The squashfs of an image, made now where there is none. @throws what `make` throws */
    async of(imageId: Digest): Promise<SquashfsFile> {
      const { hex } = digestParts(imageId)
      const known = await stored(hex)
      if (known) return known
      const making = underWay.get(hex) ?? put(imageId, hex).finally(() => underWay.delete(hex))
      underWay.set(hex, making)
      return making
    },
  }
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const bytes of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(bytes as Buffer)
  return hash.digest('hex')
}
