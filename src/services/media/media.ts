/** Virtual media: bootable files that a BMC shows to its machine as a drive. Each is made while it is read. */
import { AppError } from '../../base/errors.ts'
import { sizeOf, type Extent } from '../../formats/extents.ts'
import type { Tree } from '../../formats/tree/tree.ts'
import { MEDIA_FORMATS, type MediaOptions } from '../../model/media.ts'
import { begun, type ExportedImage } from '../images/export/exports.ts'
import type { Kits } from '../kits/kits.ts'
import { directoryContents, loaderContents, type Contents, type ReadWhole } from './contents.ts'
import { formed } from './form.ts'

export interface MediaDeps {
  readonly kits: Pick<Kits, 'open'>
  /** Where machines reach the HTTP server; undefined where no interface serves any. */
  readonly httpUrl: string | undefined
  /** The bytes of extents whose blobs are paths. @throws the system's errors */
  readonly read: (extents: readonly Extent[], signal: AbortSignal) => AsyncIterable<Uint8Array>
}

export type Media = ReturnType<typeof createMedia>

export function createMedia({ kits, httpUrl, read }: MediaDeps) {
  async function opened(contents: Contents, options: MediaOptions, signal: AbortSignal): Promise<ExportedImage> {
    const extents = formed(contents, options)
    const { mediaType } = MEDIA_FORMATS[options.format]
    return { mediaType, sizeBytes: sizeOf(extents), bytes: await begun(read(extents, signal)) }
  }

  const wholeOf =
    (signal: AbortSignal): ReadWhole =>
    async (content) =>
      Buffer.concat(await Array.fromAsync(read(content, signal)))

  return {
    /**
     * The small medium that has the machine fetch everything else from this server.
     * @throws {AppError} not_found without a kit; conflict where no machine could reach the server; as `formed`
     */
    async loader(options: MediaOptions, signal: AbortSignal): Promise<ExportedImage> {
      if (httpUrl === undefined)
        throw new AppError(
          'conflict',
          'Cannot build a loader: this server serves no machines; start it with --interface NAME',
        )
      return opened(await loaderContents(await kits.open(), httpUrl, wholeOf(signal)), options, signal)
    },

    /**
     * A medium with the files of a directory.
     * @param tree of an archive; its blob is the archive's path
     * @throws {AppError} as directoryContents and `formed`
     */
    directory: (tree: Tree, options: MediaOptions, signal: AbortSignal): Promise<ExportedImage> =>
      opened(directoryContents(tree), options, signal),
  }
}
