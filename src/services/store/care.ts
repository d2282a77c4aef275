/** The care of the store: what takes room, what may go, and whether what is there is what it should be. */
import type { Now } from '../../base/clock.ts'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { isAbort } from '../../base/task.ts'
import type { Container } from '../../model/container.ts'
import type { CheckReport, PruneReport, StoreUsage } from '../../model/store.ts'
import type { Images } from '../images/images.ts'
import type { Kits } from '../kits/kits.ts'
import { check, type CheckOptions, type OnCheck } from './check.ts'
import type { BlobFiles, DeviceStore, Disk, LogFiles, RootFiles, SquashfsFiles } from './ports.ts'
import { prune, type PruneOptions } from './prune.ts'
import { tidy } from './tidy.ts'
import { usageOf, type Stock } from './usage.ts'

export interface StoreCareDeps {
  readonly log: Log
  readonly now: Now
  readonly images: Pick<Images, 'list' | 'layers' | 'upkeep'>
  readonly blobs: BlobFiles
  readonly devices: DeviceStore
  readonly squashfs: SquashfsFiles
  readonly rootFiles: RootFiles
  readonly logs: LogFiles
  readonly kits: Pick<Kits, 'list' | 'defaults' | 'imports' | 'faults'>
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
  let isChecking = false
  return {
    /** What takes how much room. */
    usage: async (): Promise<StoreUsage> => usageOf(await takeStock(deps)),

    /** Removes what nobody needs; with `dryRun` it only says what that is. */
    prune: (options: PruneOptions): Promise<PruneReport> => prune(deps, options),

    /**
     * Reads all that is stored, one thing after the other, and says what is not what it should be.
     * @throws {AppError} conflict while another check runs; interrupted
     */
    async check(options: CheckOptions, onProgress: OnCheck, signal: AbortSignal): Promise<CheckReport> {
      if (isChecking) throw new AppError('conflict', 'Cannot check the store: it is being checked already')
      isChecking = true
      try {
        return await check(deps, options, onProgress, signal)
      } catch (cause) {
        if (isAbort(cause, signal))
          throw new AppError('interrupted', 'Cannot finish the check of the store: it was interrupted', { cause })
        throw cause
      } finally {
        isChecking = false
      }
    },

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
    roots: await deps.rootFiles.usage(),
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
    squashfs: await deps.squashfs.list(),
    uploads: await deps.uploads(),
  }
}
