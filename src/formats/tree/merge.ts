/** Merges layers into one tree (image-spec layer.md, "Applying Changesets"). */
import { AppError } from '../../base/errors.ts'
import type { LayerIndex } from '../tar/layer-index.ts'
import type { Tree } from './tree.ts'

/** A layer: the digest of its uncompressed blob (named in extents and errors) and its index. */
export interface Layer {
  readonly digest: string
  readonly index: LayerIndex
}

/**
 * The tree that the layers, lowest first, make together.
 * @throws {AppError} `invalid`, naming layer and entry, when an entry cannot be applied
 */
export function mergeLayers(layers: readonly Layer[]): Tree {
  throw new AppError('internal', `Cannot merge ${layers.length} layers: not written yet`)
}
