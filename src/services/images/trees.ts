/** Merged trees, the last few kept. One is merged at a time, for a merge takes more memory than the tree that it leaves. */
import { createMerger } from '../../formats/tree/merge.ts'
import type { Tree } from '../../formats/tree/tree.ts'
import type { ImageRecord } from './image.ts'
import type { BlobStore } from './ports.ts'

const KEPT_TREES = 4
/** Names of the kept trees together; a name takes some 130 bytes. The last tree is kept however large it is. */
const KEPT_NAMES = 500_000
/** Of which so many may be there while another tree is merged. */
const NAMES_BESIDE_MERGE = 200_000

interface Kept {
  /** The diff ids of the layers that make it. */
  readonly layers: string
  readonly tree: Promise<Tree>
  /** 0 until it is merged. */
  names: number
}

export class Trees {
  readonly #blobs: BlobStore
  /** By image id, the least recently asked for first. */
  readonly #kept = new Map<string, Kept>()
  #turn: Promise<unknown> = Promise.resolve()

  constructor(blobs: BlobStore) {
    this.#blobs = blobs
  }

  /** @throws {AppError} invalid, naming layer and entry; not_found when a layer is gone */
  get(record: Pick<ImageRecord, 'id' | 'layers'>): Promise<Tree> {
    const kept = this.#kept.get(record.id) ?? this.#ofLayers(layersOf(record)) ?? this.#begin(record)
    this.#kept.delete(record.id)
    this.#kept.set(record.id, kept)
    return kept.tree
  }

  forget(imageId: string): void {
    this.#kept.delete(imageId)
  }

  /** Images of the same layers share a tree; so do an imported file and the image that it is. */
  #ofLayers(layers: string): Kept | undefined {
    return this.#kept.values().find((kept) => kept.layers === layers)
  }

  #begin(record: Pick<ImageRecord, 'id' | 'layers'>): Kept {
    const tree = this.#turn.then(() => this.#merge(record))
    const kept: Kept = { layers: layersOf(record), tree, names: 0 }
    this.#turn = tree.then(
      ({ entryCount }) => {
        kept.names = entryCount
        this.#trim(KEPT_NAMES, kept)
      },
      () => {
        for (const [imageId, other] of this.#kept) if (other === kept) this.#kept.delete(imageId)
      },
    )
    return kept
  }

  async #merge({ layers }: Pick<ImageRecord, 'layers'>): Promise<Tree> {
    this.#trim(NAMES_BESIDE_MERGE)
    const merger = createMerger()
    for (const { diffId } of layers) merger.apply({ digest: diffId, index: await this.#blobs.index(diffId) })
    return merger.tree()
  }

  /** Lets the oldest go; what is not merged yet stays. */
  #trim(maxNames: number, newest?: Kept): void {
    for (const [imageId, kept] of this.#kept) {
      const trees = new Set(this.#kept.values())
      const names = trees.values().reduce((sum, tree) => sum + tree.names, 0)
      if (names <= maxNames && trees.size <= KEPT_TREES) return
      if (kept.names > 0 && kept !== newest) this.#kept.delete(imageId)
    }
  }
}

function layersOf({ layers }: Pick<ImageRecord, 'layers'>): string {
  return layers.map(({ diffId }) => diffId).join(' ')
}
