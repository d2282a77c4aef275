/**
 * Budgets for layers from strangers: far above what images hold, and so low that all that are taken in at once stay below
 * 512 MB of memory. docs/reference/limits.md has the reasons.
 */
export interface TarLimits {
  /** Entries in one layer, whiteouts included. Each takes some 20 to 40 bytes in an index and 130 in a tree. */
  readonly entries: number
  /** Payload of one PAX header, one GNU long name or one sparse map. GNU tar and Go stop at 1 MiB too. */
  readonly headerBytes: number
  /** The index of one layer, which is held in memory: names (less what each shares with the one before), places, attributes. */
  readonly indexBytes: number
  /**
   * Logical size of one file, holes included. A /var/log/lastlog for 31-bit user ids is 627 GB of holes and legitimate; beyond
   * 1 TiB nothing that a machine is meant to run has been seen.
   */
  readonly fileBytes: number
  /** Logical sizes of one layer together: EROFS addresses 2^32 blocks of 4 KiB, which is 16 TiB. */
  readonly totalBytes: number
  /** Data runs of one layer's sparse files together. */
  readonly dataRuns: number
}

export const TAR_LIMITS: TarLimits = {
  entries: 500_000,
  headerBytes: 1024 * 1024,
  indexBytes: 24 * 1024 * 1024,
  fileBytes: 1024 ** 4,
  totalBytes: 16 * 1024 ** 4,
  dataRuns: 1_000_000,
}

/** Linux: PATH_MAX less the NUL, NAME_MAX, XATTR_NAME_MAX, XATTR_SIZE_MAX, and the 12 and 20 bits of a device number. */
export const PATH_BYTES = 4095
export const NAME_BYTES = 255
export const XATTR_NAME_BYTES = 255
export const XATTR_VALUE_BYTES = 65_536
export const DEVICE_MAJOR_MAX = 0xfff
export const DEVICE_MINOR_MAX = 0xfffff
export const ID_MAX = 0xffff_ffff
