/**
 * Removes what nobody needs, as docker's `system prune`: containers that have ended, images without a name that no container
 * uses (with `all` those with a name too), the layers that only they had, and what broken-off work has left. It is planned
 * first, from what there is then; a dry run ends there.
 */
import { AppError } from '../../base/errors.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import type { Container } from '../../model/container.ts'
import type { PruneItem, PruneReport } from '../../model/store.ts'
import { isLive } from '../containers/record.ts'
import type { ImageRecord } from '../images/image.ts'
import type { StoreCareDeps } from './care.ts'
import type { StoredDevice, StoredSquashfs, Transfer } from './ports.ts'
import { ownBytes, sizeOfBlob } from './usage.ts'
import { isInUse, isUsedBy } from './users.ts'

export interface PruneOptions {
  readonly dryRun: boolean
  /** Images with a name too. */
  readonly all: boolean
  /** Only what was made, and came here, before. Milliseconds since 1970. */
  readonly until?: number
  /** `KEY` or `KEY=VALUE`: only containers and images that have all of them. */
  readonly labels: readonly string[]
  /** Only containers and images that have none of them. */
  readonly notLabels: readonly string[]
}

export type PruneDeps = Pick<
  StoreCareDeps,
  | 'log'
  | 'images'
  | 'blobs'
  | 'devices'
  | 'squashfs'
  | 'rootFiles'
  | 'logs'
  | 'containers'
  | 'machineIds'
  | 'heldImages'
>

interface Plan {
  readonly containers: readonly Container[]
  readonly images: readonly ImageRecord[]
  readonly layers: readonly Digest[]
  readonly devices: readonly StoredDevice[]
  readonly squashfs: readonly StoredSquashfs[]
  readonly transfers: readonly Transfer[]
  /** Ids of logs whose container is gone. */
  readonly logs: readonly string[]
  readonly sizes: Sizes
}

/** Bytes by id. */
interface Sizes {
  /** Of containers and machines: logs and roots. */
  readonly own: ReadonlyMap<string, number>
  readonly layers: ReadonlyMap<Digest, number>
}

export async function prune(deps: PruneDeps, options: PruneOptions): Promise<PruneReport> {
  const plan = await makePlan(deps, options)
  const done = options.dryRun ? plan : await carryOut(deps, plan, options)
  const items = itemsOf(done)
  const reclaimedBytes = items.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  if (!options.dryRun) deps.log.info('store pruned', { items: items.length, reclaimedBytes })
  return { dryRun: options.dryRun, items, reclaimedBytes }
}

async function makePlan(deps: PruneDeps, options: PruneOptions): Promise<Plan> {
  // Before the containers: a log that is there without its container is then one whose container is gone.
  const logs = await deps.logs.usage()
  const all = await deps.containers.list()
  const machineIds = await deps.machineIds()
  const gone = all.filter((container) => mayGo(container, options))
  const goneIds = new Set(gone.map(({ id }) => id))
  const staying = all.filter(({ id }) => !goneIds.has(id))
  const held = (await deps.heldImages?.()) ?? []
  const records = await deps.images.list()
  const images = records.filter((record) => isUnused(record, staying, held, options))
  const imageIds = new Set(images.map(({ id }) => id))
  const kept = new Set<string>(records.filter(({ id }) => !imageIds.has(id)).map(({ id }) => id))
  const ids = new Set(all.map(({ id }) => id))
  return {
    containers: gone,
    images,
    layers: await deps.images.upkeep.unneeded(imageIds),
    devices: (await deps.devices.list()).filter((device) => !isInUse(device, kept, staying)),
    squashfs: (await deps.squashfs.list()).filter(({ imageId }) => !kept.has(imageId)),
    transfers: (await deps.blobs.transfers()).filter((transfer) => isForgotten(transfer, options)),
    logs: logs.map(({ id }) => id).filter((id) => !ids.has(id) && !machineIds.has(id)),
    sizes: {
      own: ownBytes({ logs, roots: await deps.rootFiles.usage() }),
      layers: new Map((await deps.blobs.usage()).map((blob) => [blob.diffId, sizeOfBlob(blob)])),
    },
  }
}

/** What of the plan is gone then: what came into use meanwhile stays. */
async function carryOut(deps: PruneDeps, plan: Plan, options: PruneOptions): Promise<Plan> {
  const containers = await those(plan.containers, async ({ id }) => removeContainer(deps, id, options))
  const images = await those(plan.images, async ({ id }) => {
    const discarded = await deps.images.upkeep.discard(id, async (record) => {
      const held = (await deps.heldImages?.()) ?? []
      return isUnused(record, await deps.containers.list(), held, options)
    })
    return discarded !== undefined
  })
  const kept = new Set<string>((await deps.images.list()).map(({ id }) => id))
  const devices = await those(plan.devices, async (device) => {
    if (isInUse(device, kept, await deps.containers.list())) return false
    await deps.devices.remove(device.rootHash)
    return true
  })
  const squashfs = await those(plan.squashfs, async ({ imageId }) => {
    if (kept.has(imageId)) return false
    await deps.squashfs.remove(imageId)
    return true
  })
  // Behind the devices, so that none is left without its layers.
  const layers = await deps.images.upkeep.collect()
  const transfers = await those(plan.transfers, ({ digest }) => deps.blobs.dropTransfer(digest))
  for (const id of plan.logs) await deps.logs.remove(id)
  return { ...plan, containers, images, layers, devices, squashfs, transfers }
}

/** Whether it is gone by our hand; one that was started or removed meanwhile is not. */
async function removeContainer(deps: PruneDeps, containerId: string, options: PruneOptions): Promise<boolean> {
  const seen = (await deps.containers.list()).find(({ id }) => id === containerId)
  if (seen === undefined || !mayGo(seen, options)) return false
  try {
    await deps.containers.remove(containerId, false)
    return true
  } catch (error) {
    if (error instanceof AppError && (error.code === 'conflict' || error.code === 'not_found')) return false
    throw error
  }
}

/** One whose machine could not be switched off stays: its record is all that says so, and the machine may read its image still. */
function mayGo(container: Container, { until, labels, notLabels }: PruneOptions): boolean {
  if (isLive(container) || container.machineOff === false) return false
  if (until !== undefined && container.createdAt >= until) return false
  const own = new Map(Object.entries(container.options.labels))
  return hasLabels(own, labels, notLabels)
}

function isUnused(
  record: ImageRecord,
  containers: readonly Container[],
  held: readonly string[],
  { all, until, labels, notLabels }: PruneOptions,
): boolean {
  if (!all && record.references.length > 0) return false
  if (containers.some((container) => isUsedBy(record, container))) return false
  if (held.some((image) => isUsedBy(record, { image }))) return false
  if (until !== undefined && Math.max(record.storedAtMs, record.createdAtMs ?? 0) >= until) return false
  return hasLabels(record.config.config.labels, labels, notLabels)
}

/** A transfer has no labels: who asks for some does not mean it. */
function isForgotten({ isUnderWay, changedAtMs }: Transfer, { until, labels }: PruneOptions): boolean {
  return !isUnderWay && labels.length === 0 && (until === undefined || changedAtMs < until)
}

function hasLabels(own: ReadonlyMap<string, string>, wanted: readonly string[], unwanted: readonly string[]): boolean {
  const has = (label: string): boolean => {
    const [, key, value] = /^([^=]*)(?:=(.*))?$/s.exec(label)!
    return value === undefined ? own.has(key!) : own.get(key!) === value
  }
  return wanted.every(has) && !unwanted.some(has)
}

function itemsOf({ containers, images, layers, devices, squashfs, transfers, logs, sizes }: Plan): PruneItem[] {
  return [
    ...containers.map(({ id, name }) => item('container', id, [name], sizes.own.get(id))),
    ...images.map(({ id, references }) => item('image', id, [...references])),
    ...layers.map((diffId) => item('layer', diffId, [], sizes.layers.get(diffId))),
    ...devices.map(({ rootHash, sizeBytes }) => item('device', rootHash, [], sizeBytes)),
    ...squashfs.map(({ imageId, sizeBytes }) => item('squashfs', imageId, [], sizeBytes)),
    ...transfers.map(({ digest, sizeBytes }) => item('transfer', digest, [], sizeBytes)),
    ...logs.map((id) => item('log', id, [], sizes.own.get(id))),
  ]
}

function item(kind: PruneItem['kind'], id: string, names: string[], sizeBytes = 0): PruneItem {
  return { kind, id, names, sizeBytes }
}

/** Those for which `act` says yes, one after the other. */
async function those<T>(things: readonly T[], act: (thing: T) => Promise<boolean>): Promise<T[]> {
  const done: T[] = []
  for (const thing of things) if (await act(thing)) done.push(thing)
  return done
}
