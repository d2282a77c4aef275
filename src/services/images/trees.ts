/** Merged trees, the last few kept. */
import type { Tree } from '../../formats/tree/tree.ts'
import { mergeLayers } from '../../formats/tree/merge.ts'
import type { ImageRecord } from './image.ts'
import type { BlobStore } from './ports.ts'

const KEPT_TREES = 4

export class Trees {
  readonly #blobs: BlobStore
  /** By image id, the least recently asked for first. */
  readonly #kept = new Map<string, Promise<Tree>>()

  constructor(blobs: BlobStore) {
    this.#blobs = blobs
  }

  /** @throws {AppError} invalid, naming layer and entry; not_found when a layer is gone */
  get(record: Pick<ImageRecord, 'id' | 'layers'>): Promise<Tree> {
    const tree = this.#kept.get(record.id) ?? this.#merge(record)
    this.#kept.delete(record.id)
    this.#kept.set(record.id, tree)
    tree.catch(() => {
      if (this.#kept.get(record.id) === tree) this.#kept.delete(record.id)
    })
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= KEPT_TREES) break
      this.#kept.delete(oldest)
    }
    return tree
  }

  forget(imageId: string): void {
    this.#kept.delete(imageId)
  }

  async #merge({ layers }: Pick<ImageRecord, 'layers'>): Promise<Tree> {
    return mergeLayers(
      await Promise.all(layers.map(async ({ diffId }) => ({ digest: diffId, index: await this.#blobs.index(diffId) }))),
    )
  }
}
