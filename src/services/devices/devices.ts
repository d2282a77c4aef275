/**
 * Block devices made of images: an EROFS file system whose data lies in the layers, and behind it the dm-verity hash tree over
 * it. A device is made once for the same layers and kept as an extent map; machines read it over NBD and HTTP.
 */
import { createHash } from 'node:crypto'
import type { Now } from '../../base/clock.ts'
import { AppError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { extentsOf } from '../../formats/extent-map.ts'
import { erofsImage } from '../../formats/erofs/image.ts'
import { uuidOf } from '../../formats/erofs/uuid.ts'
import { parseDigest, type Digest } from '../../formats/oci/digest.ts'
import { addVerity } from '../../formats/verity/verity.ts'
import type { Images } from '../images/images.ts'
import type { BlobStore } from '../images/ports.ts'
import type { DeviceFiles, DeviceRecord, DeviceRecords } from './ports.ts'

export interface DevicesDeps {
  readonly log: Log
  readonly now: Now
  readonly images: Pick<Images, 'tree' | 'layers' | 'list'>
  readonly blobs: Pick<BlobStore, 'leaves' | 'readExtents' | 'path'>
  readonly files: DeviceFiles
  readonly records: DeviceRecords
}

/** A device as it is served: what is known of it, and the files that its bytes are in. */
export interface Device extends DeviceRecord {
  readonly mapPath: string
  /** Paths of the layers' blobs, in the order of `blobs`. */
  readonly blobPaths: readonly string[]
}

/** A device's map on the disk. */
export interface StoredDevice {
  readonly rootHash: string
  /** Bytes of the map, not of the device. */
  readonly sizeBytes: number
}

/** Raised when the same layers give other bytes than before: running machines keep the device that they began with. */
const FORMAT_VERSION = 1

export type Devices = ReturnType<typeof createDevices>

export function createDevices(deps: DevicesDeps) {
  const { log, now, images, blobs, files, records } = deps
  /** Devices that are being made, by key: one that two containers want is made once. */
  const underWay = new Map<string, Promise<Device>>()

  function served(record: DeviceRecord): Device {
    return {
      ...record,
      mapPath: files.path(record.rootHash),
      blobPaths: record.blobs.map((diffId) => blobs.path(parseDigest(diffId))),
    }
  }

  async function make(imageId: Digest, key: string, diffIds: readonly Digest[]): Promise<Device> {
    const startedMs = performance.now()
    const image = erofsImage(await images.tree(imageId), { uuid: uuidOf(diffIds) })
    const leaves = new Map(
      await Promise.all(image.blobs.map(async (blob) => [blob, await blobs.leaves(parseDigest(blob))] as const)),
    )
    const read = async (from: number, to: number): Promise<Uint8Array> => {
      const parts: Uint8Array[] = []
      const extents = [...extentsOf(image, from, to)]
      for await (const part of blobs.readExtents(extents, 0, to - from)) parts.push(part)
      return Buffer.concat(parts)
    }
    const device = await addVerity(image, (blob) => leaves.get(blob)!, read)
    const record: DeviceRecord = {
      rootHash: device.rootHash,
      key,
      sizeBytes: device.map.sizeBytes,
      dataBlocks: device.dataBlocks,
      hashStartBlock: device.hashStartBlock,
      blobs: device.map.blobs,
      createdAtMs: now(),
    }
    await files.put(record.rootHash, device.map)
    await records.put(record)
    log.info('device made', { imageId, rootHash: record.rootHash, tookMs: Math.round(performance.now() - startedMs) })
    return served(record)
  }

  return {
    /**
     * The device of an image, made now where there is none yet.
     * @throws {AppError} not_found when the image or a layer is not here; invalid when EROFS cannot hold what the image has
     */
    async of(imageId: Digest): Promise<Device> {
      const diffIds = (await images.layers(imageId)).map(({ diffId }) => diffId)
      const key = keyOf(diffIds)
      const known = await records.byKey(key)
      if (known !== undefined && (await files.has(known.rootHash))) return served(known)
      const making = underWay.get(key) ?? make(imageId, key, diffIds)
      underWay.set(key, making)
      try {
        return await making
      } finally {
        if (underWay.get(key) === making) underWay.delete(key)
      }
    },

    /** The device of an image where there is one; none is made. */
    async known(imageId: Digest): Promise<DeviceRecord | undefined> {
      return records.byKey(keyOf((await images.layers(imageId)).map(({ diffId }) => diffId)))
    },

    /** All devices, each with an image that it is of where one is here still. */
    async list(): Promise<(StoredDevice & { readonly imageId?: Digest })[]> {
      const imagesByKey = new Map<string, Digest>()
      const all = await images.list().catch((error: unknown) => {
        // The document of an image is damaged: the check of the store tells it, and needs this list to go on.
        if (error instanceof AppError && error.code === 'internal') return []
        throw error
      })
      for (const { id, layers } of all) imagesByKey.set(keyOf(layers.map(({ diffId }) => diffId)), id)
      const known = new Map((await records.list()).map((record) => [record.rootHash, record]))
      return (await files.list()).map(({ rootHash, sizeBytes }) => {
        const imageId = imagesByKey.get(known.get(rootHash)?.key ?? '')
        return { rootHash, sizeBytes, ...(imageId === undefined ? {} : { imageId }) }
      })
    },

    /** Takes a device away; whoever has it open keeps it. It is made anew when its image is run again. */
    async remove(rootHash: string): Promise<void> {
      await records.remove(rootHash)
      await files.remove(rootHash)
    },

    /** Why a device's map cannot be served; undefined for a good one. */
    faultOf: files.faultOf,

    /** The device that a machine was given; undefined when it is not here any more. */
    async byRootHash(rootHash: string): Promise<Device | undefined> {
      const record = await records.byRootHash(rootHash)
      return record !== undefined && (await files.has(rootHash)) ? served(record) : undefined
    },
  }
}

function keyOf(diffIds: readonly Digest[]): string {
  return createHash('sha256')
    .update(`${FORMAT_VERSION}\n${diffIds.join('\n')}`)
    .digest('hex')
}
