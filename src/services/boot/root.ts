/** The root file system as a machine is told to make it, in each of the ways that there are. */
import type { BootFile } from './boot.ts'

/** A block device that is read over NBD or loaded whole: an EROFS image and its dm-verity hash tree. */
export interface BootDevice {
  /** 64 hexadecimal digits. */
  readonly rootHash: string
  readonly sizeBytes: number
  /** Blocks of 4096 bytes that the file system has. */
  readonly dataBlocks: number
  /** The block at which the hash tree begins. */
  readonly hashStartBlock: number
  readonly file: BootFile
}

export type BootRoot =
  | { readonly kind: 'ram'; readonly tar: BootFile }
  | {
      readonly kind: 'lazy'
      readonly device: BootDevice
      /** What an earlier boot of the same device has read, for fetching it ahead. */
      readonly profile?: BootFile
      readonly isFilled: boolean
    }
  | { readonly kind: 'image'; readonly format: 'erofs'; readonly device: BootDevice }
  | { readonly kind: 'image'; readonly format: 'squashfs'; readonly file: BootFile; readonly sha256: string }
  | {
      readonly kind: 'nfs'
      /** Opens the root to the one machine that has this IPv4 address. */
      readonly mount: (address: string) => Promise<NfsMount>
    }

/** What a machine mounts. */
export interface NfsMount {
  /** `HOST:/PATH` */
  readonly source: string
  /** As nfs(5) has them. */
  readonly options: string
}

/** Files of a boot beside kernel and initrd, by the names that guest/ asks for. */
export type RootFileName = 'rootfs.tar' | 'rootfs.erofs' | 'rootfs.squashfs' | 'profile'

/** The file of this name, where this kind of root has one. */
export function rootFile(root: BootRoot, name: RootFileName): BootFile | undefined {
  switch (name) {
    case 'rootfs.tar':
      return root.kind === 'ram' ? root.tar : undefined
    case 'rootfs.erofs':
      return deviceOf(root)?.file
    case 'rootfs.squashfs':
      return root.kind === 'image' && root.format === 'squashfs' ? root.file : undefined
    case 'profile':
      return root.kind === 'lazy' ? root.profile : undefined
  }
}

/** Kernel parameters that the root needs: the root hash is told where the boot script is, and signed with it. */
export function rootParams(root: BootRoot): string[] {
  const device = deviceOf(root)
  return device === undefined ? [] : [`bareboat.roothash=${device.rootHash}`]
}

/** Where the NBD server listens for machines. */
export interface NbdAddress {
  readonly host: string
  readonly port: number
  /** Connections that one machine opens. */
  readonly connections: number
}

/** Who asks for the orders of a boot, and where its servers are. */
export interface RootAsked {
  /** Of the boot: the name of its NBD export. */
  readonly token: string
  /** IPv4 address of the machine. */
  readonly address: string
  readonly nbd: NbdAddress
}

/** What guest/ reads of the root, as shell variables. @throws what the opening of an NFS root throws */
export async function rootVariables(
  root: BootRoot,
  { token, address, nbd }: RootAsked,
): Promise<Record<string, string>> {
  switch (root.kind) {
    case 'ram':
      return { BB_ROOTFS: 'ram', BB_ROOTFS_BYTES: String(root.tar.sizeBytes) }
    case 'lazy':
      return {
        BB_ROOTFS: 'lazy',
        ...deviceVariables(root.device),
        BB_NBD_HOST: nbd.host,
        BB_NBD_PORT: String(nbd.port),
        BB_NBD_EXPORT: token,
        BB_NBD_CONNECTIONS: String(nbd.connections),
        BB_PROFILE: root.profile === undefined ? '0' : '1',
        BB_FILL: root.isFilled ? '1' : '0',
      }
    case 'image':
      return root.format === 'erofs'
        ? { BB_ROOTFS: 'image', BB_IMAGE_FORMAT: 'erofs', ...deviceVariables(root.device) }
        : {
            BB_ROOTFS: 'image',
            BB_IMAGE_FORMAT: 'squashfs',
            BB_DEVICE_BYTES: String(root.file.sizeBytes),
            BB_IMAGE_SHA256: root.sha256,
          }
    case 'nfs': {
      const { source, options } = await root.mount(address)
      return { BB_ROOTFS: 'nfs', BB_NFS_SOURCE: source, BB_NFS_OPTIONS: options }
    }
  }
}

function deviceOf(root: BootRoot): BootDevice | undefined {
  return root.kind === 'lazy' || (root.kind === 'image' && root.format === 'erofs') ? root.device : undefined
}

function deviceVariables({ dataBlocks, hashStartBlock, sizeBytes }: BootDevice): Record<string, string> {
  return {
    BB_DATA_BLOCKS: String(dataBlocks),
    BB_HASH_START: String(hashStartBlock),
    BB_DEVICE_BYTES: String(sizeBytes),
  }
}
