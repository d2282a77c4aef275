/** An archive on the disk as a tree whose data lies in it. */
import { createReadStream } from 'node:fs'
import { AppError, WireError } from '../base/errors.ts'
import { createTarIndexer } from '../formats/tar/indexer.ts'
import { mergeLayers } from '../formats/tree/merge.ts'
import type { Tree } from '../formats/tree/tree.ts'

/** @returns a tree whose blob is `path`  @throws {AppError} invalid when it is no tar archive */
export async function treeOfTarFile(path: string, signal: AbortSignal): Promise<Tree> {
  const indexer = createTarIndexer()
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal })) indexer.push(chunk as Buffer)
    return mergeLayers([{ digest: path, index: indexer.end() }])
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    throw new AppError('invalid', 'Cannot take the files: they came as no tar archive', { cause })
  }
}
