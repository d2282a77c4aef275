/** A plain root file system as an image of one layer, with a config made for it: neither Entrypoint nor Cmd. */
import { AppError } from '../../base/errors.ts'
import { parseImageConfig } from '../../formats/oci/config.ts'
import type { Tree } from '../../formats/tree/tree.ts'
import { digestOf } from './documents.ts'
import type { ImportContext } from './import-context.ts'
import { manifestFor } from './made-manifest.ts'
import type { LayerSource, StoredLayer } from './ports.ts'
import type { ImagePlan } from './take-in.ts'

/** @throws {AppError} invalid when there is nothing in it */
export function planRootfs(
  tree: Tree,
  { diffId, sizeBytes }: StoredLayer,
  layer: LayerSource,
  { name, platform }: ImportContext,
): ImagePlan {
  if (tree.entryCount < 2)
    throw new AppError('invalid', `Cannot import "${name}": it is neither an image nor a tar with files in it`)
  // No time of import in it, so that the same file is the same image every time.
  const text = JSON.stringify({
    os: platform.os,
    architecture: platform.architecture,
    ...(platform.variant === '' ? {} : { variant: platform.variant }),
    config: {},
    rootfs: { type: 'layers', diff_ids: [diffId] },
    history: [{ created_by: 'bareboat import' }],
  })
  const bytes = new TextEncoder().encode(text)
  const config = { digest: digestOf(bytes), bytes, value: parseImageConfig(bytes) }
  return {
    documents: { config, manifest: manifestFor(config, [{ digest: diffId, size: sizeBytes }]) },
    layers: [{ digest: diffId, mediaType: 'application/vnd.oci.image.layer.v1.tar', source: { ...layer, diffId } }],
    references: [],
    repoDigests: [],
  }
}
