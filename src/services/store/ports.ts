/** What the care of the store needs of the outside. drivers/{blobs,devices} offer it. */
import type { Digest } from '../../formats/oci/digest.ts'

/** A stored map of the block device that machines are given of an image. It is made anew where it is gone. */
export interface StoredDevice {
  readonly name: string
  /** The image that it is of. */
  readonly imageId: Digest
  /** What the map takes on the disk, not the size of the device. */
  readonly sizeBytes: number
}

export interface DeviceStore {
  list(): Promise<readonly StoredDevice[]>
  /** Does nothing where there is none. Who has it open keeps it. */
  remove(name: string): Promise<void>
}
