/** What killed processes leave that no other start clears away: layers without a record, logs, device maps and squashfs files of nobody. */
import type { StoreCareDeps } from './care.ts'
import { isInUse } from './users.ts'

/** A pull that broke off is likely to be asked for again; its layers wait so long for it, as its parts do. Milliseconds. */
const ORPHAN_MS = 7 * 24 * 3600_000

export async function tidy(
  deps: Pick<
    StoreCareDeps,
    'now' | 'log' | 'images' | 'blobs' | 'devices' | 'squashfs' | 'logs' | 'containers' | 'machineIds'
  >,
): Promise<void> {
  const { now, log, images, blobs, devices, logs } = deps
  const known = await logs.usage()
  const containers = await deps.containers.list()
  const owners = new Set([...containers.map(({ id }) => id), ...(await deps.machineIds())])
  const orphans = known.filter(({ id }) => !owners.has(id))
  for (const { id } of orphans) await logs.remove(id)

  const imageIds = new Set<string>((await images.list()).map(({ id }) => id))
  const idle = (await devices.list()).filter((device) => !isInUse(device, imageIds, containers))
  for (const { rootHash } of idle) await devices.remove(rootHash)

  const loose = (await deps.squashfs.list()).filter(({ imageId }) => !imageIds.has(imageId))
  for (const { imageId } of loose) await deps.squashfs.remove(imageId)

  const old = (await blobs.usage()).filter(({ changedAtMs }) => now() - changedAtMs > ORPHAN_MS)
  const layers = await images.upkeep.collect(new Set(old.map(({ diffId }) => diffId)))
  const counts = { logs: orphans.length, devices: idle.length, squashfs: loose.length, layers: layers.length }
  if (Object.values(counts).some((count) => count > 0)) log.info('leftovers removed', counts)
}
