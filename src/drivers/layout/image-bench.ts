/** The image service and the care of its store, on real drivers in a directory of its own, for tests. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { quietLog } from '../../base/log.ts'
import type { Container } from '../../model/container.ts'
import { createImages } from '../../services/images/create.ts'
import type { Images } from '../../services/images/images.ts'
import type { BlobStore, ImageUsers, RegistryPort } from '../../services/images/ports.ts'
import { createDevices, type Devices } from '../../services/devices/devices.ts'
import type { DeviceFiles } from '../../services/devices/ports.ts'
import { createStoreCare, type StoreCare } from '../../services/store/care.ts'
import type { LogFiles } from '../../services/store/ports.ts'
import type { LogStore } from '../../services/containers/ports.ts'
import { openBlobDirectory, type BlobDirectoryConfig } from '../blobs/directory.ts'
import { openDeviceDirectory } from '../devices/directory.ts'
import { diskOf } from '../disk.ts'
import { createLogDirectory } from '../logs/directory.ts'
import { createRegistry, type RegistryConfig } from '../registry/registry.ts'
import { openSqlite } from '../store/sqlite/database.ts'
import { openSquashfsDirectory, type SquashfsDirectory } from '../squashfs-directory.ts'
import { createDeviceRecords, deviceMigrations, type DeviceTables } from '../store/sqlite/devices.ts'
import { createImageStore, imageMigrations, type ImageTables } from '../store/sqlite/images.ts'
import { createImports } from './import.ts'

export interface ImageBench extends AsyncDisposable {
  readonly images: Images
  readonly blobs: BlobStore
  readonly devices: Devices
  readonly deviceFiles: DeviceFiles
  readonly squashfs: SquashfsDirectory
  readonly logs: LogStore & LogFiles
  readonly care: StoreCare
  readonly directory: string
  /** Files of the store that are neither directories nor the database. */
  files(): string[]
}

export interface ImageBenchOptions {
  /** Default: one that is removed at the end. */
  readonly directory?: string
  readonly blobs?: Partial<BlobDirectoryConfig>
  readonly registry?: Partial<RegistryConfig>
  readonly port?: RegistryPort
  readonly users?: ImageUsers
  /** Containers that the care of the store sees, and takes away. */
  readonly containers?: Container[]
  readonly now?: () => number
}

export async function openImageBench(options: ImageBenchOptions = {}): Promise<ImageBench> {
  await using stack = new AsyncDisposableStack()
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'bareboat-images-'))
  if (options.directory === undefined) stack.defer(() => rmSync(directory, { recursive: true, force: true }))
  const { now = Date.now, containers = [] } = options
  const database = stack.use(
    openSqlite<ImageTables & DeviceTables>(join(directory, 'state.db'), [...imageMigrations, ...deviceMigrations]),
  )
  const blobs = stack.use(
    await openBlobDirectory({ log: quietLog, now, path: join(directory, 'store'), threads: 2, ...options.blobs }),
  )
  const registry = stack.use(
    createRegistry({ log: quietLog, now, backOffMs: 20, allowLoopbackDownloads: true, ...options.registry }),
  )
  const images = createImages({
    log: quietLog,
    now,
    blobs,
    store: createImageStore(database.db),
    registry: options.port ?? registry,
    imports: createImports(registry.download),
    ...(options.users === undefined ? {} : { users: options.users }),
  })
  const deviceFiles = await openDeviceDirectory(join(directory, 'devices'), quietLog)
  const devices = createDevices({
    log: quietLog,
    now,
    images,
    blobs,
    files: deviceFiles,
    records: createDeviceRecords(database.db),
  })
  const squashfs = await openSquashfsDirectory(join(directory, 'squashfs'), squashfsOf)
  const logs = stack.use(createLogDirectory(join(directory, 'logs'), now))
  const care = createStoreCare({
    log: quietLog,
    now,
    images,
    blobs,
    devices,
    logs,
    squashfs,
    rootFiles: { usage: () => Promise.resolve([]) },
    kits: {
      list: () => Promise.resolve([]),
      faults: () => Promise.resolve([]),
      defaults: () => Promise.resolve(new Set()),
      imports: { list: () => Promise.resolve([]), remove: () => Promise.resolve() },
    },
    containers: {
      list: () => Promise.resolve([...containers]),
      async remove(containerId) {
        const at = containers.findIndex(({ id }) => id === containerId)
        containers.splice(at, at < 0 ? 0 : 1)
        await logs.remove(containerId)
      },
    },
    machineIds: () => Promise.resolve(new Set()),
    disk: () => diskOf(directory),
    uploads: () => Promise.resolve({ count: 0, sizeBytes: 0 }),
  })
  const held = stack.move()
  return {
    images,
    blobs,
    devices,
    deviceFiles,
    squashfs,
    logs,
    care,
    directory,
    files: () =>
      readdirSync(join(directory, 'store'), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1)),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

/** What stands for the squashfs of an image here. */
async function squashfsOf(imageId: string): Promise<AsyncIterable<Uint8Array>> {
  return ReadableStream.from([Buffer.from(imageId)])
}
