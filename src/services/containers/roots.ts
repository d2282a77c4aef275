/** Which kind of root file system a container gets, and the making of it, before its machine may load anything. */
import { AppError } from '../../base/errors.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import type { Tree } from '../../formats/tree/tree.ts'
import type { Container, RunOptions } from '../../model/container.ts'
import type { RootfsKind } from '../../model/rootfs.ts'
import type { BootFile } from '../boot/boot.ts'
import type { BootDevice, BootRoot } from '../boot/root.ts'
import type { Device, Devices } from '../devices/devices.ts'
import type { NfsRoots } from '../nfs/roots.ts'

export interface RootsDeps {
  /** An image as a tar. */
  readonly tarFile: (tree: Tree) => BootFile
  readonly devices: Pick<Devices, 'of' | 'byRootHash'>
  /** The bytes of a device, for machines that load it whole. */
  readonly deviceFile: (device: Device) => BootFile
  /** What an earlier boot of a device has read; undefined where there was none. */
  readonly profileOf: (rootHash: string) => Promise<BootFile | undefined>
  /** Directories of containers, served over NFS. */
  readonly nfs: Pick<NfsRoots, 'prepare' | 'open' | 'shut' | 'remove'>
  /** The image as one squashfs file. @throws {AppError} unsupported where nothing here makes one */
  readonly squashfs: (imageId: Digest) => Promise<{ readonly file: BootFile; readonly sha256: string }>
}

export interface ImageInHand {
  readonly imageId: Digest
  readonly tree: Tree
}

/** @throws {AppError} unsupported when kernel and initrd of this boot cannot do what was asked for */
export function chooseRootfs(
  container: Container,
  { rootfsKinds: kinds, rootfsDefault }: { rootfsKinds: ReadonlySet<RootfsKind>; rootfsDefault: RootfsKind },
): RootfsKind {
  const wanted = container.rootfs ?? container.options.rootfs ?? rootfsDefault
  if (kinds.has(wanted)) return wanted
  throw new AppError(
    'unsupported',
    `Cannot run "${container.image}" with --rootfs ${wanted}: the kit can do ${[...kinds].join(', ')}; a newer one is built with: bareboat kit build`,
  )
}

/** Options that only some kinds of root have. @throws {AppError} invalid */
export function refuseIdleOptions(options: RunOptions, kind: RootfsKind): void {
  if (options.fill && kind !== 'lazy')
    throw new AppError('invalid', `Cannot fill a root of kind "${kind}": only --rootfs lazy leaves something to fetch`)
}

/**
 * Makes the root ready. A container that has booted keeps the device that its machine began with.
 * @throws {AppError} not_found, invalid, unsupported
 */
export async function prepareRoot(
  deps: RootsDeps,
  container: Container,
  kind: RootfsKind,
  { imageId, tree }: ImageInHand,
  signal: AbortSignal,
): Promise<BootRoot> {
  switch (kind) {
    case 'ram':
      return { kind, tar: deps.tarFile(tree) }
    case 'lazy': {
      const device = await deviceOf(deps, container, imageId)
      const profile = await deps.profileOf(device.rootHash)
      return { kind, device, isFilled: container.options.fill, ...(profile === undefined ? {} : { profile }) }
    }
    case 'image':
      if (container.options.imageFormat === 'squashfs')
        return { kind, format: 'squashfs', ...(await deps.squashfs(imageId)) }
      return { kind, format: 'erofs', device: await deviceOf(deps, container, imageId) }
    case 'nfs':
      await deps.nfs.prepare(container.id, tree, { resetAccessTimes: container.options.resetAtime, signal })
      return { kind, mount: (address) => deps.nfs.open(container.id, address) }
    default:
      return kind satisfies never
  }
}

async function deviceOf(deps: RootsDeps, { rootHash, name }: Container, imageId: Digest): Promise<BootDevice> {
  const known = rootHash === undefined ? undefined : await deps.devices.byRootHash(rootHash)
  const device = known ?? (await deps.devices.of(imageId))
  // A machine that checks against one hash can do nothing with the blocks of another.
  if (rootHash !== undefined && device.rootHash !== rootHash)
    throw new AppError(
      'conflict',
      `Cannot go on serving the root of container "${name}": its device ${rootHash.slice(0, 12)} is gone, and the image now makes ${device.rootHash.slice(0, 12)}; restart it`,
    )
  return {
    rootHash: device.rootHash,
    sizeBytes: device.sizeBytes,
    dataBlocks: device.dataBlocks,
    hashStartBlock: device.hashStartBlock,
    file: deps.deviceFile(device),
  }
}

/** Bytes of a machine's memory that a root takes before anything is written to it. */
export function rootMemoryBytes(root: BootRoot): number {
  switch (root.kind) {
    case 'ram':
      return root.tar.sizeBytes
    case 'image':
      return root.format === 'erofs' ? root.device.sizeBytes : root.file.sizeBytes
    case 'lazy':
    case 'nfs':
      return 0
    default:
      return root satisfies never
  }
}

/** What the container's record says of the bytes that its machine checks. */
export function rootHashOf(root: BootRoot): { rootHash?: string } {
  const isDevice = root.kind === 'lazy' || (root.kind === 'image' && root.format === 'erofs')
  return isDevice ? { rootHash: root.device.rootHash } : {}
}
