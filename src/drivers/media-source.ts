/** What a person sent to be put on a medium: a tar archive of a directory, or an ISO image. Their data are read where they lie. */
import { createReadStream } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { AppError, WireError } from '../base/errors.ts'
import { isIsoImage, readIso, type ReadImage } from '../formats/iso9660/reader.ts'
import { createTarIndexer } from '../formats/tar/indexer.ts'
import { mergeLayers } from '../formats/tree/merge.ts'
import type { Tree } from '../formats/tree/tree.ts'
import { directoryContents, isoContents, type Contents } from '../services/media/contents.ts'

/**
 * @returns contents whose blobs are `path`
 * @throws {AppError} invalid when it is neither; as directoryContents and isoContents
 */
export async function mediaSource(path: string, signal: AbortSignal): Promise<Contents> {
  try {
    await using file = await open(path, 'r')
    const read = readerOf(file)
    if (await isIsoImage(read)) return isoContents(await readIso(read, (await file.stat()).size), path)
    return directoryContents(await treeOfTar(path, signal))
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    throw new AppError('invalid', 'Cannot build a medium: what was sent is neither an ISO image nor a tar archive', {
      cause,
    })
  }
}

async function treeOfTar(path: string, signal: AbortSignal): Promise<Tree> {
  const indexer = createTarIndexer()
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal })) indexer.push(chunk as Buffer)
  return mergeLayers([{ digest: path, index: indexer.end() }])
}

function readerOf(file: FileHandle): ReadImage {
  return async (offset, length) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset)
    return buffer.subarray(0, bytesRead)
  }
}
