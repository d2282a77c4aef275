/** Virtual media: bootable files that a BMC shows to its machine as a drive. Each is made while it is read. */
import { AppError } from '../../base/errors.ts'
import { sizeOf, type Extent } from '../../formats/extents.ts'
import { digestParts } from '../../formats/oci/digest.ts'
import { runOptions } from '../../model/container.ts'
import { MEDIA_FORMATS, type BootPair, type MediaOptions } from '../../model/media.ts'
import { readSmall } from '../containers/prepare.ts'
import { resolveWorkload } from '../containers/workload.ts'
import type { Device, Devices } from '../devices/devices.ts'
import { begun, type ExportedImage } from '../images/export/exports.ts'
import type { Images } from '../images/images.ts'
import type { BlobStore } from '../images/ports.ts'
import type { Kit, Kits } from '../kits/kits.ts'
import { loaderContents, type Contents, type ReadWhole } from './contents.ts'
import { formed } from './form.ts'
import { imageContents, pairContents } from './image-contents.ts'

export interface MediaDeps {
  readonly kits: Pick<Kits, 'open' | 'imported'>
  readonly images: Pick<Images, 'named' | 'keep' | 'tree' | 'config'>
  readonly devices: Pick<Devices, 'of'>
  /** The bytes of a device, as extents of paths. */
  readonly deviceContent: (device: Device) => Promise<Extent[]>
  /** The bytes of a file. */
  readonly fileContent: (path: string) => Promise<Extent[]>
  readonly blobs: Pick<BlobStore, 'readExtents'>
  /** Kernel parameters of every boot. */
  readonly kernelParams: readonly string[]
  /** Where machines reach the HTTP server; undefined where no interface serves any. */
  readonly httpUrl: string | undefined
  /** The bytes of extents whose blobs are paths. @throws the system's errors */
  readonly read: (extents: readonly Extent[], signal: AbortSignal) => AsyncIterable<Uint8Array>
}

export type Media = ReturnType<typeof createMedia>

/** A medium before anybody reads it. */
export interface MadeMedium extends Disposable {
  readonly mediaType: string
  readonly sizeBytes: number
  /** All of it; blobs are paths. */
  readonly extents: readonly Extent[]
}

/** What a medium that this server makes by itself is made of. */
export type MadeOf =
  /** By its name, which the machine is told; and where that may stand for another one by now, its id. */
  | { readonly image: string; readonly imageId?: string }
  | { readonly loader: true; /** See loaderContents. */ readonly scriptUrl?: string }
  | { readonly pair: BootPair }

export function createMedia(deps: MediaDeps) {
  const { kits, images, httpUrl, read } = deps

  function made(contents: Contents, options: MediaOptions, lease?: Disposable): MadeMedium {
    const extents = formed(contents, options)
    const { mediaType } = MEDIA_FORMATS[options.format]
    return { mediaType, sizeBytes: sizeOf(extents), extents, [Symbol.dispose]: () => lease?.[Symbol.dispose]() }
  }

  async function opened(medium: MadeMedium, signal: AbortSignal): Promise<ExportedImage> {
    const { mediaType, sizeBytes, extents } = medium
    try {
      return { mediaType, sizeBytes, bytes: await begun(read(extents, signal), medium) }
    } catch (error) {
      medium[Symbol.dispose]()
      throw error
    }
  }

  const wholeOf =
    (signal: AbortSignal): ReadWhole =>
    async (content) =>
      Buffer.concat(await Array.fromAsync(read(content, signal)))

  /** A kernel and an initrd that a site has imported, started by the programs of the kit. */
  async function pair({ kernel, initrd, kernelParams }: BootPair, kit: Kit, signal: AbortSignal): Promise<Contents> {
    const files = {
      kernel: await deps.fileContent(await kits.imported('kernel', kernel)),
      initrd: await deps.fileContent(await kits.imported('initrd', initrd)),
    }
    return pairContents(kit, files, [...deps.kernelParams, ...kernelParams], wholeOf(signal))
  }

  /** An image that boots by itself: no server is asked. */
  async function image(
    { image: ref, imageId }: { readonly image: string; readonly imageId?: string },
    label: string,
    kitDigest: string | undefined,
    signal: AbortSignal,
  ) {
    const { record } = await images.named(imageId ?? ref)
    const lease = await images.keep(record.id)
    try {
      const [tree, config] = await Promise.all([images.tree(record.id), images.config(record.id)])
      const workload = await resolveWorkload(config.config, runOptions.parse({ image: ref }), tree, (entry) =>
        readSmall(deps, entry),
      )
      const kit = await kits.open(kitDigest, config.platform.architecture)
      const device = await deps.devices.of(record.id)
      const contents = await imageContents(
        {
          kit,
          workload,
          root: { ...device, content: await deps.deviceContent(device) },
          imageId: digestParts(record.id).hex,
          name: ref,
          label,
          kernelParams: deps.kernelParams,
          madeAtSeconds: Math.max(0, Math.floor((record.createdAtMs ?? 0) / 1000)),
        },
        wholeOf(signal),
      )
      return { contents, lease, kit, imageId: record.id }
    } catch (error) {
      lease[Symbol.dispose]()
      throw error
    }
  }

  /**
   * Makes a medium, which stays readable until it is disposed: the layers of an image do.
   * @param kitDigest of the kit that it is made with; default: the one of now
   * @returns with it the kit, and of what it was made in words that mean the same later: so it can be made again
   * @throws {AppError} as Images.named and resolveWorkload; not_found without a kit that can; conflict for a loader where no machine
   * could reach the server; as `formed`
   */
  async function make(
    of: MadeOf,
    options: MediaOptions,
    signal: AbortSignal,
    kitDigest?: string,
  ): Promise<{ medium: MadeMedium; kit: string; of: MadeOf }> {
    if ('image' in of) {
      const { contents, lease, kit, imageId } = await image(of, options.label, kitDigest, signal)
      try {
        return { medium: made(contents, options, lease), kit: kit.digest, of: { image: of.image, imageId } }
      } catch (error) {
        lease[Symbol.dispose]()
        throw error
      }
    }
    if ('loader' in of && httpUrl === undefined)
      throw new AppError(
        'conflict',
        'Cannot build a loader: this server serves no machines; start it with --interface NAME',
      )
    const kit = await kits.open(kitDigest)
    const contents =
      'pair' in of
        ? await pair(of.pair, kit, signal)
        : await loaderContents(kit, httpUrl!, wholeOf(signal), of.scriptUrl)
    return { medium: made(contents, options), kit: kit.digest, of }
  }

  return {
    make,

    /** As `make`, read from its beginning. */
    async open(of: MadeOf, options: MediaOptions, signal: AbortSignal): Promise<ExportedImage> {
      return opened((await make(of, options, signal)).medium, signal)
    },

    /** A medium with contents whose blobs are paths. @throws {AppError} as `formed` */
    files: async (contents: Contents, options: MediaOptions, signal: AbortSignal): Promise<ExportedImage> =>
      opened(made(contents, options), signal),
  }
}
