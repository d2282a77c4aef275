/** What the care of the store needs of the outside. drivers/{blobs,devices} offer it. */
import type { Digest } from '../../formats/oci/digest.ts'

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
  /** Does nothing where there is none. Who has it open keeps it. */
  remove(rootHash: string): Promise<void>
}
