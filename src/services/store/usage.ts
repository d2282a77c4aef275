/** What takes how much room, and how much of it could be had back. Pure: from what there is to what is shown. */
import type { Digest } from '../../formats/oci/digest.ts'
import type { Container } from '../../model/container.ts'
import type { StoreUsage, UsageKind, UsageRow } from '../../model/store.ts'
import { isLive } from '../containers/record.ts'
import type { ImageRecord } from '../images/image.ts'
import type { Disk, StoredBlob, StoredDevice, StoredSquashfs, Transfer } from './ports.ts'
import { isUsedBy } from './users.ts'

/** Everything that is counted, as it is at one time. */
export interface Stock {
  readonly disk: Disk
  readonly images: readonly ImageRecord[]
  readonly blobs: readonly StoredBlob[]
  readonly transfers: readonly Transfer[]
  readonly containers: readonly Container[]
  readonly machineIds: ReadonlySet<string>
  readonly logs: readonly { readonly id: string; readonly sizeBytes: number }[]
  /** Directories that are containers' roots. */
  readonly roots: readonly { readonly containerId: string; readonly sizeBytes: number }[]
  readonly kits: StoreUsage['kits']
  readonly bootFiles: StoreUsage['bootFiles']
  readonly devices: readonly StoredDevice[]
  readonly squashfs: readonly StoredSquashfs[]
  readonly uploads: { readonly count: number; readonly sizeBytes: number }
}

export function usageOf(stock: Stock): StoreUsage {
  const { images, blobs, containers, devices } = stock
  const sizes = new Map(blobs.map((blob) => [blob.diffId, sizeOfBlob(blob)]))
  const holders = holdersOf(images)
  const own = ownBytes(stock)
  const users = new Map(
    images.map((image) => [image.id, containers.filter((container) => isUsedBy(image, container)).length]),
  )
  return {
    rows: rowsOf(stock, sizes, users),
    disk: stock.disk,
    images: images.map((image) => {
      const layers = [...new Set(image.layers.map(({ diffId }) => diffId))]
      const shared = sumOf(layers, (diffId) => (holders.get(diffId)!.size > 1 ? (sizes.get(diffId) ?? 0) : 0))
      const sizeBytes = sumOf(layers, (diffId) => sizes.get(diffId) ?? 0)
      return {
        id: image.id,
        references: [...image.references],
        ...(image.createdAtMs === undefined ? {} : { createdAt: image.createdAtMs }),
        sizeBytes,
        sharedBytes: shared,
        uniqueBytes: sizeBytes - shared,
        containers: users.get(image.id)!,
      }
    }),
    layers: blobs.map((blob) => ({
      diffId: blob.diffId,
      sizeBytes: sizeOfBlob(blob),
      images: holders.get(blob.diffId)?.size ?? 0,
      isRotten: blob.isRotten,
    })),
    containers: containers.map(({ id, name, image, state }) => ({
      id,
      name,
      image,
      state,
      sizeBytes: own.get(id) ?? 0,
    })),
    kits: stock.kits,
    bootFiles: stock.bootFiles,
    squashfs: stock.squashfs.map(({ imageId, sizeBytes }) => ({ imageId, sizeBytes })),
    devices: devices.map(({ rootHash, imageId, sizeBytes }) => ({
      rootHash,
      sizeBytes,
      ...(imageId === undefined ? {} : { imageId }),
    })),
    transfers: stock.transfers.map(({ digest, sizeBytes, changedAtMs, isUnderWay }) => ({
      digest,
      changedAt: Math.trunc(changedAtMs),
      isUnderWay,
      sizeBytes,
    })),
  }
}

export function sizeOfBlob({ sizeBytes, besideBytes }: StoredBlob): number {
  return sizeBytes + besideBytes
}

/** Bytes of logs and roots by the id of their container or machine. */
export function ownBytes({ logs, roots }: Pick<Stock, 'logs' | 'roots'>): ReadonlyMap<string, number> {
  const own = new Map(logs.map(({ id, sizeBytes }) => [id, sizeBytes]))
  for (const { containerId, sizeBytes } of roots) own.set(containerId, (own.get(containerId) ?? 0) + sizeBytes)
  return own
}

/** The images that have each layer. */
function holdersOf(images: readonly ImageRecord[]): ReadonlyMap<Digest, ReadonlySet<Digest>> {
  const holders = new Map<Digest, Set<Digest>>()
  for (const image of images)
    for (const { diffId } of image.layers) holders.set(diffId, (holders.get(diffId) ?? new Set()).add(image.id))
  return holders
}

function rowsOf(stock: Stock, sizes: ReadonlyMap<Digest, number>, users: ReadonlyMap<Digest, number>): UsageRow[] {
  const { images, blobs, transfers, containers, machineIds, kits, bootFiles, devices, squashfs, uploads } = stock
  const layersOf = (some: readonly ImageRecord[]) =>
    new Set(some.flatMap(({ layers }) => layers.map(({ diffId }) => diffId)))
  const held = layersOf(images)
  const active = images.filter(({ id }) => users.get(id)! > 0)
  const activeLayers = layersOf(active)
  const imageBytes = sumOf([...held], (diffId) => sizes.get(diffId) ?? 0)
  const orphans = blobs.filter(({ diffId }) => !held.has(diffId))
  const orphanBytes = sumOf(orphans, sizeOfBlob)
  const containerIds = new Set(containers.map(({ id }) => id))
  const liveIds = new Set(containers.filter(isLive).map(({ id }) => id))
  const own = [...ownBytes(stock)].map(([id, sizeBytes]) => ({ id, sizeBytes }))
  const consoles = own.filter(({ id }) => machineIds.has(id))
  // What is of nobody counts among that of containers: its container is gone.
  const ofContainers = own.filter(({ id }) => !machineIds.has(id))
  const isActive = ({ imageId }: { readonly imageId?: Digest }) =>
    imageId !== undefined && (users.get(imageId) ?? 0) > 0
  const counted = <T extends { readonly sizeBytes: number }>(
    kind: UsageKind,
    things: readonly T[],
    isKept: (thing: T) => boolean,
  ): UsageRow => ({
    kind,
    total: things.length,
    active: things.filter(isKept).length,
    sizeBytes: sumOf(things, sizeOf),
    reclaimableBytes: sumOf(
      things.filter((thing) => !isKept(thing)),
      sizeOf,
    ),
  })
  return [
    {
      kind: 'images',
      total: images.length,
      active: active.length,
      sizeBytes: imageBytes,
      reclaimableBytes: imageBytes - sumOf([...activeLayers], (diffId) => sizes.get(diffId) ?? 0),
    },
    { kind: 'layers', total: orphans.length, active: 0, sizeBytes: orphanBytes, reclaimableBytes: orphanBytes },
    {
      ...counted('containers', ofContainers, ({ id }) => liveIds.has(id)),
      total: containerIds.size,
      active: liveIds.size,
    },
    counted('consoles', consoles, () => true),
    counted('kits', kits, ({ isDefault }) => isDefault),
    counted('bootFiles', bootFiles, () => true),
    counted('devices', devices, isActive),
    counted('squashfs', squashfs, isActive),
    counted('transfers', transfers, ({ isUnderWay }) => isUnderWay),
    { kind: 'uploads', total: uploads.count, active: uploads.count, sizeBytes: uploads.sizeBytes, reclaimableBytes: 0 },
  ]
}

function sizeOf({ sizeBytes }: { readonly sizeBytes: number }): number {
  return sizeBytes
}

function sumOf<T>(things: readonly T[], bytesOf: (thing: T) => number): number {
  return things.reduce((sum, thing) => sum + bytesOf(thing), 0)
}
