/** Takes images away as docker does: first the tag, with the last one the image. */
import { AppError } from '../../base/errors.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import type { ImageRecord } from './image.ts'
import type { RemovedImage } from './images.ts'
import type { LayerKeeper } from './keeper.ts'
import type { ImageStore, ImageUsers } from './ports.ts'
import { resolveImage } from './resolve.ts'

export interface RemoveNeeds {
  readonly store: ImageStore
  readonly keeper: LayerKeeper
  readonly referenced: () => Promise<ReadonlySet<Digest>>
  readonly users: ImageUsers
}

/** @throws {AppError} not_found, conflict */
export async function removeImage(
  { store, keeper, referenced, users }: RemoveNeeds,
  image: string,
  isForced: boolean,
): Promise<RemovedImage> {
  const { record, tag } = await resolveImage(store, image)
  if (tag !== undefined && record.references.length > 1) {
    await store.untag(tag)
    return { untagged: [tag], deleted: [], layers: [] }
  }
  if (tag === undefined && record.references.length > 1 && !isForced)
    throw new AppError(
      'conflict',
      `Cannot remove image "${image}": it has the names ${record.references.join(', ')}; remove one of them, or all with --force`,
    )
  await refuseUsed(record, image, users, isForced)
  await store.remove(record.id)
  const layers = await keeper.collect(referenced)
  return { untagged: record.references, deleted: [record.id], layers }
}

async function refuseUsed(record: ImageRecord, image: string, users: ImageUsers, isForced: boolean): Promise<void> {
  const all = await users(record.id)
  const live = all.filter((user) => user.isLive)
  const inWay = isForced ? live : all
  if (inWay.length === 0) return
  const names = inWay.map(({ name }) => `"${name}"`).join(', ')
  const help = live.length > 0 ? 'stop and remove it first' : 'remove it first, or use --force'
  throw new AppError('conflict', `Cannot remove image "${image}": container ${names} uses it; ${help}`)
}
