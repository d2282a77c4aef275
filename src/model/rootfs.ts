/** The kinds of root file system. Without a schema, so that the command line need not load one. */

/**
 * Where the root file system of a container is. `lazy`: blocks are fetched from the layers when they are touched, each checked
 * against a root hash. `ram`: unpacked into memory. `image`: the whole file system image in memory, checked. `nfs`: a directory
 * of the container's own on the server.
 */
export const ROOTFS_KINDS = ['lazy', 'ram', 'image', 'nfs'] as const
export type RootfsKind = (typeof ROOTFS_KINDS)[number]

/** What a root of kind `image` is made of. */
export const IMAGE_FORMATS = ['erofs', 'squashfs'] as const
