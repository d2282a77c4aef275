/** What the device service needs of the outside; drivers/devices and drivers/store offer it. */
import type { ExtentMap } from '../../formats/extent-map.ts'

/** Stored extent maps, each under the root hash of its device. */
export interface DeviceFiles {
  /** Writes a map; it is durable when the promise resolves, and there whole or not at all whatever happens before. */
  put(rootHash: string, map: ExtentMap): Promise<void>
  has(rootHash: string): Promise<boolean>
  /** Where the threads that serve machines open it. */
  path(rootHash: string): string
  /** The whole map. @throws {AppError} not_found; internal when it is damaged */
  read(rootHash: string): Promise<ExtentMap>
  /** `sizeBytes`: what the map takes on the disk, not the size of the device. */
  list(): Promise<readonly { readonly rootHash: string; readonly sizeBytes: number }[]>
  /** Does nothing where there is none. */
  remove(rootHash: string): Promise<void>
  /**
   * Why a map cannot be served; undefined for a good one, and where there is none.
   * @param blobBytes the size of a stored blob, by its digest
   */
  faultOf(rootHash: string, blobBytes: (blob: string) => number | undefined): Promise<string | undefined>
}

/** What is known of a device beside its bytes. */
export interface DeviceRecord {
  /** dm-verity root hash, 64 hexadecimal digits: it stands for every byte of the device. */
  readonly rootHash: string
  /** What it was made of: layers, and the way in which it is made. Equal keys give equal devices. */
  readonly key: string
  /** Bytes of the device: EROFS image, dm-verity superblock, hash tree. */
  readonly sizeBytes: number
  /** Blocks of 4096 bytes that the EROFS image has. */
  readonly dataBlocks: number
  /** The block at which the hash tree begins, behind its superblock. */
  readonly hashStartBlock: number
  /** Diff ids of the layers whose bytes it points into, in the order of the map. */
  readonly blobs: readonly string[]
  readonly createdAtMs: number
}

/** Each method is one transaction. */
export interface DeviceRecords {
  byKey(key: string): Promise<DeviceRecord | undefined>
  byRootHash(rootHash: string): Promise<DeviceRecord | undefined>
  list(): Promise<readonly DeviceRecord[]>
  put(record: DeviceRecord): Promise<void>
  remove(rootHash: string): Promise<void>
}
