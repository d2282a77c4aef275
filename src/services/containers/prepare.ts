/** Everything that a machine will load for a container, made ready before it may load anything. */
import { AppError } from '../../base/errors.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import { fileExtents, type Tree, type TreeEntry } from '../../formats/tree/tree.ts'
import type { Container } from '../../model/container.ts'
import type { RootfsKind } from '../../model/rootfs.ts'
import type { BootFile, Prepared } from '../boot/boot.ts'
import type { BlobStore } from '../images/ports.ts'
import type { Images } from '../images/images.ts'
import { chooseRootfs, prepareRoot, refuseIdleOptions, type RootsDeps } from './roots.ts'
import { resolveWorkload, type Workload } from './workload.ts'

/** Where the kernel and the initrd of a boot come from. */
export interface KernelSource {
  /**
   * The kit's pair, or imported ones by name.
   * @throws {AppError} not_found when there is no kit yet or no import of that name
   */
  files(arch: string, kernel?: string, initrd?: string): Promise<KernelFiles>
}

export interface KernelFiles {
  readonly kernel: BootFile
  readonly initrd: BootFile
  /** The kinds of root that they can make. */
  readonly rootfsKinds: ReadonlySet<RootfsKind>
  /** What a container gets whose person did not say. */
  readonly rootfsDefault: RootfsKind
}

export interface PrepareDeps extends RootsDeps {
  readonly blobs: Pick<BlobStore, 'readExtents'>
  readonly images: Images
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
export async function prepare(
  deps: PrepareDeps,
  container: Container,
  signal: AbortSignal,
): Promise<PreparedContainer> {
  const imageId = await deps.images.resolve(container.imageId ?? container.image)
  const [tree, config] = await Promise.all([deps.images.tree(imageId), deps.images.config(imageId)])
  const { options } = container
  const workload = await resolveWorkload(config.config, options, tree, (entry) => readSmall(deps, entry))
  const files = await deps.kernels.files(config.platform.architecture, options.kernel, options.initrd)
  const kind = chooseRootfs(container, files)
  refuseIdleOptions(options, kind)
  return {
    imageId,
    tree,
    workload,
    kernel: files.kernel,
    initrd: files.initrd,
    root: await prepareRoot(deps, container, kind, { imageId, tree }, signal),
    kernelParams: [...deps.kernelParams, ...options.kernelParams],
  }
}

/** A small file of an image. @throws {AppError} invalid when it is none */
export async function readSmall(deps: Pick<PrepareDeps, 'blobs'>, entry: TreeEntry): Promise<Uint8Array> {
  if (entry.size > MAX_ETC_BYTES)
    throw new AppError(
      'invalid',
      `Cannot read "/${entry.path}" of the image: ${entry.size} bytes, over ${MAX_ETC_BYTES}`,
    )
  const parts: Uint8Array[] = []
  for await (const part of deps.blobs.readExtents(fileExtents(entry), 0, entry.size)) parts.push(part)
  return Buffer.concat(parts)
}
