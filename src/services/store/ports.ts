/** What the care of the store needs of the outside. drivers/{blobs,devices,logs} offer it. */
import type { Digest } from '../../formats/oci/digest.ts'

/** A layer as files: its blob and what lies beside it. */
export interface StoredBlob {
  readonly diffId: Digest
  readonly sizeBytes: number
  /** Of its index and the like. */
  readonly besideBytes: number
  /** When it was written. Milliseconds since 1970. */
  readonly changedAtMs: number
  /** Whether a check found its bytes changed. */
  readonly isRotten: boolean
}

/** What has arrived of a layer whose transfer is not over. */
export interface Transfer {
  /** Of the bytes as they arrive. */
  readonly digest: Digest
  readonly sizeBytes: number
  /** Milliseconds since 1970. */
  readonly changedAtMs: number
  readonly isUnderWay: boolean
}

export interface BlobFiles {
  usage(): Promise<readonly StoredBlob[]>
  transfers(): Promise<readonly Transfer[]>
  /** @returns whether it is gone: one that is under way stays */
  dropTransfer(digest: Digest): Promise<boolean>
  /**
   * Reads a layer whole and holds it and what lies beside it against its digest, off the control loop. A rotten one is marked:
   * it counts as missing until it is stored again, but who reads it goes on. The mark of a good one goes.
   * @returns undefined where there is no such layer
   * @throws {AppError} internal; the signal's reason
   */
  check(diffId: Digest, options: CheckOptions): Promise<LayerCheck | undefined>
}

export interface CheckOptions {
  /** Whether what lies beside a good layer is made anew where it is damaged. */
  readonly repair: boolean
  /** Undefined: as fast as it goes. */
  readonly bytesPerSecond?: number
  /** How many bytes have been read so far. */
  onBytes?(bytes: number): void
  readonly signal: AbortSignal
}

/** Bytes `from` (inclusive) to `to` (exclusive). */
export interface ByteRange {
  readonly from: number
  readonly to: number
}

export interface LayerCheck {
  readonly sizeBytes: number
  /** Why the layer is not what it must be, and where its bytes are others as far as that is known; undefined for a good one. */
  readonly rot: { readonly why: string; readonly ranges: readonly ByteRange[] } | undefined
  /** What lies beside it and was not good. */
  readonly beside: readonly {
    readonly what: 'index' | 'leaves'
    readonly why: 'damaged' | 'missing'
    readonly isRemade: boolean
  }[]
}

/** A stored map of the block device that machines are given of an image. It is made anew where it is gone. */
export interface StoredDevice {
  readonly rootHash: string
  /** An image that it is of, where one is here still. A container may run from a device whose image is gone. */
  readonly imageId?: Digest
  /** What the map takes on the disk, not the size of the device. */
  readonly sizeBytes: number
}

/** services/devices offers it. */
export interface DeviceStore {
  list(): Promise<readonly StoredDevice[]>
  /** Makes the device of an image where there is none: of the same layers always the same. @throws {AppError} */
  of(imageId: Digest): Promise<unknown>
  /** Does nothing where there is none. Who has it open keeps it. */
  remove(rootHash: string): Promise<void>
  /**
   * Why a map cannot be served; undefined for a good one, and where there is none.
   * @param blobBytes the size of a stored blob, by its digest
   */
  faultOf(rootHash: string, blobBytes: (blob: string) => number | undefined): Promise<string | undefined>
}

/** An image as one squashfs file, for machines that load it whole. It is made anew where it is gone. */
export interface StoredSquashfs {
  readonly imageId: Digest
  readonly sizeBytes: number
}

export interface SquashfsFiles {
  list(): Promise<readonly StoredSquashfs[]>
  /** Does nothing where there is none. */
  remove(imageId: Digest): Promise<void>
  /** Reads the file whole. @returns why it is not what it must be; undefined for a good one, and where there is none */
  faultOf(
    imageId: Digest,
    options: { readonly bytesPerSecond?: number; readonly signal?: AbortSignal },
  ): Promise<string | undefined>
}

/** Roots of containers as directories that their machines write to. They go with the container. */
export interface RootFiles {
  usage(): Promise<readonly { readonly containerId: string; readonly sizeBytes: number }[]>
}

/** Logs, each under the id of its container or machine. */
export interface LogFiles {
  usage(): Promise<readonly { readonly id: string; readonly sizeBytes: number }[]>
  remove(id: string): Promise<void>
}

/** The file system that holds the store. */
export interface Disk {
  readonly sizeBytes: number
  readonly freeBytes: number
}
