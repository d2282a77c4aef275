/** The care of the store: what takes room, and what may go. */
import type { Now } from '../../base/clock.ts'
import { explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Container } from '../../model/container.ts'
import type { PruneReport, StoreUsage } from '../../model/store.ts'
import type { Images } from '../images/images.ts'
import type { Kits } from '../kits/kits.ts'
import type { BlobFiles, DeviceStore, Disk, LogFiles } from './ports.ts'
import { prune, type PruneOptions } from './prune.ts'
import { tidy } from './tidy.ts'
import { usageOf, type Stock } from './usage.ts'

export interface StoreCareDeps {
  readonly log: Log
  readonly now: Now
  readonly images: Pick<Images, 'list' | 'upkeep'>
  readonly blobs: BlobFiles
  readonly devices: DeviceStore
  readonly logs: LogFiles
  readonly kits: Pick<Kits, 'list' | 'defaults' | 'imports'>
  readonly containers: {
    list(): Promise<Container[]>
    /** @throws {AppError} conflict when it is live */
    remove(containerId: string, force: false): Promise<unknown>
  }
  readonly machineIds: () => Promise<ReadonlySet<string>>
  /** Names of images that must stay, whoever holds them, e.g. boot configs. Default: none. */
  readonly heldImages?: () => Promise<readonly string[]>
  readonly disk: () => Promise<Disk>
  /** Files that wait to be imported. */
  readonly uploads: () => Promise<Stock['uploads']>
}

export type StoreCare = ReturnType<typeof createStoreCare>

export function createStoreCare(deps: StoreCareDeps) {
  return {
    /** What takes how much room. */
    usage: async (): Promise<StoreUsage> => usageOf(await takeStock(deps)),

    /** Removes what nobody needs; with `dryRun` it only says what that is. */
    prune: (options: PruneOptions): Promise<PruneReport> => prune(deps, options),

    /** Removes what a process that was killed has left and nobody will ask for again. To be called before work begins. */
    async tidy(): Promise<void> {
      try {
        await tidy(deps)
      } catch (error) {
        deps.log.warn('leftovers not removed', { error: explain(error) })
      }
    },
  }
}

async function takeStock(deps: StoreCareDeps): Promise<Stock> {
  const { images, blobs, devices, logs, kits, containers } = deps
  const defaults = await kits.defaults()
  return {
    disk: await deps.disk(),
    images: await images.list(),
    blobs: await blobs.usage(),
    transfers: await blobs.transfers(),
    containers: await containers.list(),
    machineIds: await deps.machineIds(),
    logs: await logs.usage(),
    kits: (await kits.list()).map(({ digest, manifest, createdAt }) => ({
      digest,
      isDefault: defaults.has(digest),
      createdAt,
      sizeBytes: Object.values(manifest.files).reduce((sum, file) => sum + file.sizeBytes, 0),
    })),
    bootFiles: (await kits.imports.list()).map(({ kind, name, createdAt, sizeBytes }) => ({
      kind,
      name,
      createdAt,
      sizeBytes,
    })),
    devices: await devices.list(),
    uploads: await deps.uploads(),
  }
}
