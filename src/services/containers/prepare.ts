/** Everything that a machine will load for a container, made ready before it may load anything. */
import { AppError } from '../../base/errors.ts'
import type { Extent } from '../../formats/extents.ts'
import { sizeOf } from '../../formats/extents.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import { tarExtents } from '../../formats/tar/project.ts'
import { fileExtents, type Tree, type TreeEntry } from '../../formats/tree/tree.ts'
import type { Container } from '../../model/container.ts'
import type { BootFile, Prepared } from '../boot/boot.ts'
import type { Images } from '../images/images.ts'
import type { BlobStore } from '../images/ports.ts'
import { resolveWorkload, type Workload } from './workload.ts'

/** Where the kernel and the initrd of a boot come from. */
export interface KernelSource {
  /**
   * The kit's pair, or imported ones by name.
   * @throws {AppError} not_found when there is no kit yet or no import of that name
   */
  files(arch: string, kernel?: string, initrd?: string): Promise<{ kernel: BootFile; initrd: BootFile }>
}

export interface PrepareDeps {
  readonly images: Images
  readonly blobs: Pick<BlobStore, 'readExtents'>
  readonly kernels: KernelSource
  /** Kernel parameters that every boot gets, e.g. the console. */
  readonly kernelParams: readonly string[]
}

export interface PreparedContainer extends Prepared {
  readonly workload: Workload
  readonly imageId: Digest
  readonly tree: Tree
}

/** Files of /etc that decide a user are small; a larger one is not read. */
const MAX_ETC_BYTES = 1024 * 1024

/** @throws {AppError} not_found, invalid: whatever keeps the container from being run, before a machine is touched */
export async function prepare(deps: PrepareDeps, container: Container): Promise<PreparedContainer> {
  const imageId = await deps.images.resolve(container.imageId ?? container.image)
  const [tree, config] = await Promise.all([deps.images.tree(imageId), deps.images.config(imageId)])
  const { options } = container
  const workload = await resolveWorkload(config.config, options, tree, (entry) => readSmall(deps, entry))
  const { kernel, initrd } = await deps.kernels.files(config.platform.architecture, options.kernel, options.initrd)
  return {
    imageId,
    tree,
    workload,
    kernel,
    initrd,
    rootfs: projection(deps, tarExtents(tree)),
    kernelParams: [...deps.kernelParams, ...options.kernelParams],
  }
}

/** A file that is made of extents of blobs. */
export function projection(deps: Pick<PrepareDeps, 'blobs'>, extents: readonly Extent[]): BootFile {
  return {
    sizeBytes: sizeOf(extents),
    open: (from, to, signal) => deps.blobs.readExtents(extents, from, to, signal),
  }
}

async function readSmall(deps: PrepareDeps, entry: TreeEntry): Promise<Uint8Array> {
  if (entry.size > MAX_ETC_BYTES)
    throw new AppError(
      'invalid',
      `Cannot read "/${entry.path}" of the image: ${entry.size} bytes, over ${MAX_ETC_BYTES}`,
    )
  const parts: Uint8Array[] = []
  for await (const part of deps.blobs.readExtents(fileExtents(entry), 0, entry.size)) parts.push(part)
  return Buffer.concat(parts)
}
