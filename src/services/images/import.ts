/** Images out of files: OCI layouts, `docker save` archives, plain rootfs tars. */
import { AppError } from '../../base/errors.ts'
import { parsePlatform } from '../../formats/oci/platform.ts'
import { parseReference } from '../../formats/oci/reference.ts'
import { filesOfTree } from './archive-files.ts'
import { readDockerArchive } from './docker-archive.ts'
import type { ImageRecord, OnProgress } from './image.ts'
import type { ImportContext } from './import-context.ts'
import { isLayout, readLayout } from './layout.ts'
import { tagName } from './names.ts'
import type { ImageNeeds } from './needs.ts'
import type { LayerSource, OnIngest, StoredLayer } from './ports.ts'
import { planRootfs } from './rootfs.ts'
import { takeIn, type ImagePlan } from './take-in.ts'

export interface ImportOptions {
  /** What messages call the source. Default: the source itself. */
  readonly name?: string
  readonly reference?: string
  readonly platform?: string
}

/** @throws {AppError} as Images.import */
export async function importImages(
  needs: ImageNeeds,
  source: string,
  options: ImportOptions,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<readonly ImageRecord[]> {
  const reference = options.reference === undefined ? undefined : tagOf(options.reference)
  const asked = options.platform === undefined ? undefined : parsePlatform(options.platform)
  const name = options.name ?? source
  const context: ImportContext = { name, platform: asked ?? needs.platform }
  const opened = await needs.imports.open(source, signal)
  if (opened.kind === 'file') {
    const layer = options.name === undefined ? opened.layer : { ...opened.layer, name: `"${name}"` }
    return importFile(needs, layer, context, reference, onProgress, signal)
  }
  if (!(await isLayout(opened.files)))
    throw new AppError('invalid', `Cannot import "${name}": it is a directory without oci-layout and index.json`)
  return takeAll(needs, await readLayout(opened.files, context, signal), context, reference, onProgress, signal)
}

function tagOf(text: string): string {
  const tag = tagName(parseReference(text))
  if (tag === undefined) throw new AppError('invalid', `Cannot name an image "${text}": give a tag, not a digest`)
  return tag
}

/**
 * A file is taken in like a layer: this bounds and indexes it, whatever it is. Then its index tells whether it is an archive
 * with images in it, which lie in it as plain extents, or itself a root file system.
 */
async function importFile(
  needs: ImageNeeds,
  layer: LayerSource,
  context: ImportContext,
  reference: string | undefined,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<readonly ImageRecord[]> {
  let stored: StoredLayer | undefined
  try {
    using _pause = await needs.keeper.pause()
    const totalBytes = layer.sizeBytes
    const onIngest: OnIngest = (state, bytes) => onProgress({ kind: 'file', state, bytes, totalBytes })
    stored = await needs.blobs.ingest(layer, onIngest, signal)
    const { diffId, sizeBytes } = stored
    const whole = { diffId, digest: diffId, mediaType: 'application/x-tar', sizeBytes }
    const tree = await needs.mergeTree({ id: diffId, layers: [whole] })
    const files = filesOfTree(tree, needs.blobs)
    const plans = (await isLayout(files))
      ? await readLayout(files, context, signal)
      : ((await readDockerArchive(files, context, signal)) ?? [planRootfs(tree, stored, layer, context)])
    return await takeAll(needs, plans, context, reference, onProgress, signal)
  } finally {
    // An archive's own bytes are not needed once its layers are out; those of a rootfs are referred to by now.
    if (stored !== undefined) {
      needs.forgetTree(stored.diffId)
      await needs.keeper.collect(needs.referenced, new Set([stored.diffId]))
    }
  }
}

async function takeAll(
  needs: ImageNeeds,
  plans: readonly ImagePlan[],
  { name }: ImportContext,
  reference: string | undefined,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<readonly ImageRecord[]> {
  if (plans.length === 0) throw new AppError('invalid', `Cannot import "${name}": there is no image in it`)
  if (reference !== undefined && plans.length > 1)
    throw new AppError('invalid', `Cannot import "${name}" as "${reference}": there are ${plans.length} images in it`)
  const records: ImageRecord[] = []
  for (const plan of plans) {
    const named = reference === undefined ? plan : { ...plan, references: [reference] }
    const manifestDigest = plan.documents.manifest.digest
    onProgress({ kind: 'resolved', manifestDigest, layerCount: plan.layers.length })
    records.push(await takeIn(needs, named, onProgress, signal))
  }
  needs.log.info('images imported', { source: name, imageIds: records.map((record) => record.id) })
  return records
}
