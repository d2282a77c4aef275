/** What machines are given as their root beside a tar: devices made of images, the NBD server that serves them, boot profiles. */
import { join } from 'node:path'
import type { Now } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Task } from '../base/task.ts'
import { heldBytes, piecesOf } from '../drivers/boot-files.ts'
import { openDeviceDirectory } from '../drivers/devices/directory.ts'
import { createDeviceRecords, type DeviceTables } from '../drivers/store/sqlite/devices.ts'
import { openSquashfsDirectory } from '../drivers/squashfs-directory.ts'
import { createProfileStore, type ProfileTables } from '../drivers/store/sqlite/profiles.ts'
import type { SqliteStore } from '../drivers/store/sqlite/database.ts'
import { extentsOf, type ExtentMap } from '../formats/extent-map.ts'
import { cutExtents, sizeOf } from '../formats/extents.ts'
import { parseDigest } from '../formats/oci/digest.ts'
import { tarExtents } from '../formats/tar/project.ts'
import type { Tree } from '../formats/tree/tree.ts'
import type { Container } from '../model/container.ts'
import { createNbdServer } from '../servers/nbd/server.ts'
import type { BootFile, BootService } from '../services/boot/boot.ts'
import type { BootStore } from '../services/boot/ports.ts'
import type { RootsDeps } from '../services/containers/roots.ts'
import { createDevices, type Device, type Devices } from '../services/devices/devices.ts'
import type { SquashfsFiles } from '../services/store/ports.ts'
import type { DeviceFiles } from '../services/devices/ports.ts'
import type { Exports } from '../services/images/export/exports.ts'
import type { Images } from '../services/images/images.ts'
import type { BlobStore } from '../services/images/ports.ts'
import type { EventBus } from '../services/ports.ts'
import { renderRanges } from '../services/profiles/profile.ts'
import { createProfiles, type Profiles } from '../services/profiles/profiles.ts'
import type { Config } from './config.ts'

export interface RootServicesDeps {
  readonly config: Config
  readonly log: Log
  readonly now: Now
  readonly database: SqliteStore<DeviceTables & ProfileTables>
  readonly images: Images
  readonly blobs: BlobStore
  readonly exports: Exports
  readonly boots: BootStore
  readonly events: EventBus
  readonly containerById: (containerId: string) => Promise<Container | undefined>
  /** Which device a token opens; asked only while it serves. */
  readonly exported: BootService['exported']
  /** Where the machines are; undefined serves none. */
  readonly address: string | undefined
}

export interface RootServices extends AsyncDisposable {
  readonly devices: Devices
  readonly squashfs: SquashfsFiles
  readonly profiles: Profiles
  readonly roots: Omit<RootsDeps, 'nfs'>
  readonly tasks: readonly Task[]
  /** Sends whoever has something open in the name of a boot away. */
  drop(token: string): void
}

const NEVER = new AbortController().signal

/** Connections of one machine to its device: one that waits for a large read does not hold up a small one. */
export const NBD_CONNECTIONS = 2

export async function openRoots(deps: RootServicesDeps): Promise<RootServices> {
  const { config, log, now, database, images, blobs, boots, events } = deps
  const files = await openDeviceDirectory(join(config.dataDir, 'devices'), log)
  const devices = createDevices({ log, now, images, blobs, files, records: createDeviceRecords(database.db) })
  const squashfs = await openSquashfsDirectory(join(config.dataDir, 'squashfs'), async (imageId) => {
    const { bytes } = await deps.exports.open(imageId, 'squashfs', {}, NEVER)
    return { [Symbol.asyncIterator]: () => bytes }
  })
  const nbd =
    deps.address === undefined
      ? undefined
      : createNbdServer({
          log: log.with({ server: 'nbd' }),
          address: deps.address,
          port: config.nbdPort,
          threads: config.nbdThreads,
          async open(token, address) {
            const rootHash = await deps.exported(token, address)
            const device = rootHash === undefined ? undefined : await devices.byRootHash(rootHash)
            return device && { mapPath: device.mapPath, blobPaths: device.blobPaths, record: true }
          },
        })
  const profiles = createProfiles({
    log,
    now,
    boots,
    events,
    store: createProfileStore(database.db),
    watch: {
      touched: async (token) => (await nbd?.touched(token))?.touches ?? [],
      bytesSent: async (token) => (await nbd?.sessions())?.find((one) => one.token === token)?.bytesSent ?? 0,
    },
    containerById: deps.containerById,
    blocksOfDevice: async (rootHash) => blocks(await devices.byRootHash(rootHash)),
  })
  return {
    devices,
    squashfs,
    profiles,
    roots: {
      devices,
      tarFile: (tree) => tarFile(tree, blobs),
      deviceFile: (device) => deviceFile(device, files, blobs),
      async profileOf(rootHash) {
        const profile = await profiles.of(rootHash)
        return profile && heldBytes(Buffer.from(renderRanges(profile.ranges)))
      },
      squashfs: squashfs.of,
    },
    tasks: nbd === undefined ? [] : [nbd.task],
    drop: (token) => nbd?.forget(token),
    [Symbol.asyncDispose]: () => profiles[Symbol.asyncDispose](),
  }
}

/** The bytes of a device, for machines that load it whole. Its map is read when somebody does, and stays a while for who goes on. */
function deviceFile(device: Device, files: DeviceFiles, blobs: BlobStore): BootFile {
  let held: WeakRef<ExtentMap> | undefined
  async function map(): Promise<ExtentMap> {
    const known = held?.deref()
    if (known) return known
    const read = await files.read(device.rootHash)
    held = new WeakRef(read)
    return read
  }
  return {
    sizeBytes: device.sizeBytes,
    etag: device.rootHash,
    pieces: async (from, to) => piecesOf(extentsOf(await map(), from, to), (blob) => blobs.path(parseDigest(blob))),
  }
}

function tarFile(tree: Tree, blobs: BlobStore): BootFile {
  const extents = tarExtents(tree)
  return {
    sizeBytes: sizeOf(extents),
    pieces: (from, to) => piecesOf(cutExtents(extents, from, to), (blob) => blobs.path(parseDigest(blob))),
  }
}

function blocks(device: Device | undefined): number | undefined {
  return device && device.sizeBytes / 4096
}
