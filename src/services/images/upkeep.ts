/** What the care of the store does with images and their layers, past no pull that is under way. */
import type { Digest } from '../../formats/oci/digest.ts'
import type { ImageRecord } from './image.ts'
import type { ImageNeeds } from './needs.ts'

export interface Upkeep {
  /**
   * Takes an image's record away, if `isFree` says so of the record as it is then.
   * @returns the record that is gone; undefined where it stays or was gone before
   */
  discard(imageId: Digest, isFree: (record: ImageRecord) => Promise<boolean>): Promise<ImageRecord | undefined>
  /** The layers that `collect` would remove if these images were gone. */
  unneeded(without: ReadonlySet<Digest>): Promise<readonly Digest[]>
  /** Removes layers that neither an image nor a pull needs. @param candidates only these, where given */
  collect(candidates?: ReadonlySet<Digest>): Promise<readonly Digest[]>
}

export function createUpkeep(needs: ImageNeeds): Upkeep {
  const { store, keeper, referenced, forgetTree, log } = needs
  return {
    discard: (imageId, isFree) =>
      keeper.alone(async () => {
        const record = await store.get(imageId)
        if (record === undefined || !(await isFree(record))) return undefined
        await store.remove(imageId)
        forgetTree(imageId)
        log.info('image removed', { untagged: record.references, deleted: [imageId] })
        return record
      }),
    unneeded: (without) => keeper.unneeded(() => referenced(without)),
    collect: (candidates) => keeper.collect(referenced, candidates),
  }
}
