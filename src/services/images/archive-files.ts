/** The regular files inside a stored tar as ImageFiles; nothing is unpacked. */
import { sizeOf } from '../../formats/extents.ts'
import { byteStringOf } from '../../formats/tar/byte-string.ts'
import { fileExtents, type Tree } from '../../formats/tree/tree.ts'
import { AppError } from '../../base/errors.ts'
import type { BlobStore, ImageFiles } from './ports.ts'

/** Symbolic links are followed inside the archive: older `docker save` archives link equal layers to each other. */
export function filesOfTree(tree: Tree, blobs: BlobStore): ImageFiles {
  const find = (name: string) => {
    const entry = tree.resolve(byteStringOf(name))
    return entry?.kind === 'file' ? entry : undefined
  }
  return {
    sizeBytes: async (name) => find(name)?.size,
    stream(name, offset, signal) {
      const entry = find(name)
      if (entry === undefined) throw new AppError('not_found', `Cannot read "${name}": it is not in the archive`)
      const extents = fileExtents(entry)
      return blobs.readExtents(extents, offset, sizeOf(extents), signal)
    },
  }
}

/** A small file, whole. @returns undefined where there is none @throws {AppError} invalid when it is longer than `maxBytes` */
export async function readWhole(
  files: ImageFiles,
  name: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const size = await files.sizeBytes(name)
  if (size === undefined) return undefined
  if (size > maxBytes)
    throw new AppError('invalid', `Cannot read "${name}": it has ${size} bytes; at most ${maxBytes} are read`)
  const parts: Uint8Array[] = []
  for await (const part of files.stream(name, 0, signal)) parts.push(part)
  return Buffer.concat(parts)
}
