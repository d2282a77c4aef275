/** Images as files for others: every form is made while it is read, from the tree or the stored layers. */
import { cpioExtents } from '../../../formats/cpio/project.ts'
import { erofsImage } from '../../../formats/erofs/image.ts'
import { uuidOf } from '../../../formats/erofs/uuid.ts'
import { extentsOf } from '../../../formats/extent-map.ts'
import { sizeOf, type Extent } from '../../../formats/extents.ts'
import { tarExtents } from '../../../formats/tar/project.ts'
import type { Tree, TreeEntry } from '../../../formats/tree/tree.ts'
import { EXPORT_FORMATS, type ExportFormatName } from '../../../model/export.ts'
import type { ImageRecord } from '../image.ts'
import type { Images } from '../images.ts'
import type { BlobStore } from '../ports.ts'
import { dockerArchive, ociArchive } from './image-archive.ts'
import { packageList } from './packages.ts'
import type { PackerPort, Packing } from './ports.ts'

export interface ExportsDeps {
  readonly images: Images
  readonly blobs: Pick<BlobStore, 'readExtents'>
  readonly packer: PackerPort
}

export interface ExportOptions {
  /** Whether device nodes are in it, of `dir`: who is not root cannot make them. Default true. */
  readonly devices?: boolean
}

export interface ExportedImage {
  readonly mediaType: string
  /** Undefined where it shows only at the end. */
  readonly sizeBytes: number | undefined
  /** To be read once, or returned from. A failure in the middle throws. */
  readonly bytes: AsyncIterator<Uint8Array>
}

export type Exports = ReturnType<typeof createExports>

export function createExports({ images, blobs, packer }: ExportsDeps) {
  return {
    /**
     * Begins an export: what can be seen to fail at once fails here. The layers stay until it is read, whatever is removed.
     * @throws {AppError} as Images.resolve; unsupported where a program is missing or the format cannot hold the image
     */
    async open(
      image: string,
      format: ExportFormatName,
      { devices = true }: ExportOptions,
      signal: AbortSignal,
    ): Promise<ExportedImage> {
      const { record, tag } = await images.named(image)
      const lease = await images.keep(record.id)
      try {
        const plan = await planOf(images, record, tag, format, devices)
        const sizeBytes = sizeOf(plan.extents)
        const plain = blobs.readExtents(plan.extents, 0, sizeBytes, signal)
        const packed = plan.packing === undefined ? plain : packer.pack(plan.packing, plain, signal)
        return {
          mediaType: EXPORT_FORMATS[format].mediaType,
          sizeBytes: plan.packing === undefined ? sizeBytes : undefined,
          bytes: await begun(packed, lease),
        }
      } catch (error) {
        lease[Symbol.dispose]()
        throw error
      }
    },

    /** What packages the image's system has, as its own tool lists them; undefined where no database of packages is known. */
    async packages(image: string): Promise<string | undefined> {
      const { record } = await images.named(image)
      return packageList(await images.tree(record.id), blobs)
    },
  }
}

interface Plan {
  readonly extents: readonly Extent[]
  readonly packing?: Packing
}

async function planOf(
  images: Images,
  record: ImageRecord,
  tag: string | undefined,
  format: ExportFormatName,
  devices: boolean,
): Promise<Plan> {
  if (format === 'oci') return { extents: ociArchive(record, tag) }
  if (format === 'docker') return { extents: dockerArchive(record, tag) }
  const tree = await images.tree(record.id)
  switch (format) {
    case 'tar':
      return { extents: tarExtents(tree) }
    case 'tar.gz':
      return { extents: tarExtents(tree), packing: { kind: 'gzip' } }
    case 'tar.zst':
      return { extents: tarExtents(tree), packing: { kind: 'zstd' } }
    case 'tar.lz4':
      return { extents: tarExtents(tree), packing: { kind: 'lz4' } }
    case 'cpio':
      return { extents: cpioExtents(tree) }
    case 'squashfs':
      return squashfs(tree, record)
    case 'erofs':
      return { extents: [...extentsOf(erofsImage(tree, { uuid: uuidOf(record.config.diffIds) }))] }
    case 'dir':
      return { extents: tarExtents(tree, { dialect: 'gnu', without: (entry) => !devices && isDevice(entry) }) }
    default:
      return format satisfies never
  }
}

function squashfs(tree: Tree, record: ImageRecord): Plan {
  const madeAtSeconds = Math.max(0, Math.floor((record.createdAtMs ?? 0) / 1000))
  return {
    extents: tarExtents(tree, { without: ({ path }) => path === '' }),
    packing: { kind: 'squashfs', root: tree.at(0)!, madeAtSeconds },
  }
}

function isDevice({ kind }: TreeEntry): boolean {
  return kind === 'character' || kind === 'block'
}

/** Reads the first piece, so that what cannot begin fails now. What is held for it is let go of when the reading ends. */
export async function begun(
  bytes: AsyncIterable<Uint8Array>,
  lease: Disposable = { [Symbol.dispose]() {} },
): Promise<AsyncIterator<Uint8Array>> {
  const rest = bytes[Symbol.asyncIterator]()
  let first: IteratorResult<Uint8Array> | undefined = await rest.next()
  const ended = { done: true, value: undefined } as const
  const end = async () => {
    lease[Symbol.dispose]()
    await rest.return?.()
    return ended
  }
  return {
    async next() {
      try {
        const result = first ?? (await rest.next())
        first = undefined
        return result.done === true ? await end() : result
      } catch (error) {
        await end()
        throw error
      }
    },
    return: end,
  }
}
