/** Virtual media: bootable files that a BMC shows to its machine as a drive. Each is made while it is read. */
import { AppError } from '../../base/errors.ts'
import { sizeOf, type Extent } from '../../formats/extents.ts'
import { digestParts } from '../../formats/oci/digest.ts'
import { runOptions } from '../../model/container.ts'
import { MEDIA_FORMATS, type MediaOptions } from '../../model/media.ts'
import { readSmall } from '../containers/prepare.ts'
import { resolveWorkload } from '../containers/workload.ts'
import type { Device, Devices } from '../devices/devices.ts'
import { begun, type ExportedImage } from '../images/export/exports.ts'
import type { Images } from '../images/images.ts'
import type { BlobStore } from '../images/ports.ts'
import type { Kits } from '../kits/kits.ts'
import { loaderContents, type Contents, type ReadWhole } from './contents.ts'
import { formed } from './form.ts'
import { imageContents } from './image-contents.ts'

export interface MediaDeps {
  readonly kits: Pick<Kits, 'open'>
  readonly images: Pick<Images, 'named' | 'keep' | 'tree' | 'config'>
  readonly devices: Pick<Devices, 'of'>
  /** The bytes of a device, as extents of paths. */
  readonly deviceContent: (device: Device) => Promise<Extent[]>
  readonly blobs: Pick<BlobStore, 'readExtents'>
  /** Kernel parameters of every boot. */
  readonly kernelParams: readonly string[]
  /** Where machines reach the HTTP server; undefined where no interface serves any. */
  readonly httpUrl: string | undefined
  /** The bytes of extents whose blobs are paths. @throws the system's errors */
  readonly read: (extents: readonly Extent[], signal: AbortSignal) => AsyncIterable<Uint8Array>
}

export type Media = ReturnType<typeof createMedia>

export function createMedia(deps: MediaDeps) {
  const { kits, images, httpUrl, read } = deps

  async function opened(
    contents: Contents,
    options: MediaOptions,
    signal: AbortSignal,
    lease?: Disposable,
  ): Promise<ExportedImage> {
    const extents = formed(contents, options)
    const { mediaType } = MEDIA_FORMATS[options.format]
    return { mediaType, sizeBytes: sizeOf(extents), bytes: await begun(read(extents, signal), lease) }
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
     * A medium that boots an image by itself: no server is asked. The layers stay until it is read.
     * @throws {AppError} as Images.named and resolveWorkload; not_found without a kit that can; as `formed`
     */
    async image(ref: string, options: MediaOptions, signal: AbortSignal): Promise<ExportedImage> {
      const { record } = await images.named(ref)
      const lease = await images.keep(record.id)
      try {
        const [tree, config] = await Promise.all([images.tree(record.id), images.config(record.id)])
        const workload = await resolveWorkload(config.config, runOptions.parse({ image: ref }), tree, (entry) =>
          readSmall(deps, entry),
        )
        const kit = await kits.open('default', config.platform.architecture)
        const device = await deps.devices.of(record.id)
        const contents = await imageContents(
          {
            kit,
            workload,
            root: { ...device, content: await deps.deviceContent(device) },
            imageId: digestParts(record.id).hex,
            name: ref,
            label: options.label,
            kernelParams: deps.kernelParams,
            madeAtSeconds: Math.max(0, Math.floor((record.createdAtMs ?? 0) / 1000)),
          },
          wholeOf(signal),
        )
        return await opened(contents, options, signal, lease)
      } catch (error) {
        lease[Symbol.dispose]()
        throw error
      }
    },

    /** A medium with contents whose blobs are paths. @throws {AppError} as `formed` */
    files: opened,
  }
}
