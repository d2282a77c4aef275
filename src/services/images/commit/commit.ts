/**
 * A container as an image: what it changed becomes a layer over those of its image. The archive that the machine sends is taken in
 * like a layer, which bounds and indexes it; the layer is then made of it and read into the store as any other. All or nothing: what
 * is written before the record is nobody's, and goes with the next removal of layers.
 */
import { AppError } from '../../../base/errors.ts'
import type { Extent } from '../../../formats/extents.ts'
import { sizeOf } from '../../../formats/extents.ts'
import type { Digest } from '../../../formats/oci/digest.ts'
import { MEDIA_TYPES } from '../../../formats/oci/media-types.ts'
import { parseReference } from '../../../formats/oci/reference.ts'
import { packIndex } from '../../../formats/tar/packed-index.ts'
import { changeExtents, LAYER_END, type LayerChange } from '../../../formats/tree/changes.ts'
import { overlayChanges } from '../../../formats/tree/overlay.ts'
import type { ImageRecord, OnProgress } from '../image.ts'
import { manifestFor } from '../made-manifest.ts'
import { tagName } from '../names.ts'
import type { ImageNeeds } from '../needs.ts'
import type { BlobStore, LayerSource, OnIngest, StoredLayer } from '../ports.ts'
import { takeIn, type LayerPlan } from '../take-in.ts'
import { checkChanges, committedConfig, type CommitWords } from './config.ts'
import { rootChanges } from './root-changes.ts'

export interface CommitRequest extends CommitWords {
  /** How errors name what is committed, e.g. `container "web"`. */
  readonly name: string
  readonly base: ImageRecord
  /** `upper`: a tar of the upper directory of an overlay over the image. `root`: one of the whole root as it is now. */
  readonly kind: 'upper' | 'root'
  /** The tar from its beginning, once. */
  open(signal: AbortSignal): AsyncIterable<Uint8Array>
  /** The new image's name; none by default. */
  readonly reference?: string
}

/** Entries whose headers are made at once. */
const BATCH = 1024

/** @throws {AppError} invalid for a change that is none; unsupported for what a layer cannot say; what `open` throws */
export async function commitImage(
  needs: ImageNeeds,
  request: CommitRequest,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const { name, base } = request
  const tag = request.reference === undefined ? undefined : tagOf(request.reference)
  checkChanges(request.changes)
  const made: StoredLayer[] = []
  try {
    using _pause = await needs.keeper.pause()
    const onIngest: OnIngest = (state, bytes) => onProgress({ kind: 'file', state, bytes, totalBytes: undefined })
    const ingest = async (source: LayerSource): Promise<StoredLayer> => {
      const stored = await needs.blobs.ingest(source, onIngest, signal)
      made.push(stored)
      return stored
    }
    const archive = await ingest({ name: `the files of ${name}`, open: onceOnly((stop) => request.open(stop)) })
    const layer = await ingest({
      name: `the changes of ${name}`,
      open: onceOnly((stop) => layerBytes(changesOf(needs, request, archive), needs.blobs, stop)),
    })
    const config = committedConfig(base, layer.diffId, request, needs.now())
    const layers = [...base.layers, layer]
    const manifest = manifestFor(
      config,
      layers.map(({ diffId, sizeBytes }) => ({ digest: diffId, size: sizeBytes })),
    )
    const plan = {
      documents: { config, manifest },
      layers: layers.map(present),
      references: tag === undefined ? [] : [tag],
      repoDigests: [],
    }
    const record = await takeIn(needs, plan, onProgress, signal)
    needs.log.info('container committed', { name, imageId: record.id, layerBytes: layer.sizeBytes })
    return record
  } finally {
    for (const { diffId } of made) needs.forgetTree(diffId)
    await needs.keeper.collect(needs.referenced, new Set(made.map(({ diffId }) => diffId)))
  }
}

function tagOf(text: string): string {
  const tag = tagName(parseReference(text))
  if (tag === undefined) throw new AppError('invalid', `Cannot commit to "${text}": give a tag, not a digest`)
  return tag
}

async function* changesOf(
  needs: ImageNeeds,
  { kind, base }: CommitRequest,
  { diffId, sizeBytes }: StoredLayer,
): AsyncGenerator<LayerChange> {
  const index = packIndex(await needs.blobs.index(diffId))
  if (kind === 'upper') return yield* overlayChanges(index.each(), diffId)
  if (index.hasWhiteouts) {
    // As entries of a layer they would take files away: the changes refuse the first of them, by its name.
    for (const entry of index.each()) changeExtents({ kind: 'put', entry, blob: diffId })
  }
  const whole = { diffId, digest: diffId, mediaType: MEDIA_TYPES.ociLayer, sizeBytes }
  const live = await needs.mergeTree({ id: diffId, layers: [whole] })
  yield* rootChanges(await needs.mergeTree(base), live, needs.blobs)
}

/** The tar of a layer, made while it is read. */
async function* layerBytes(
  changes: AsyncIterable<LayerChange>,
  blobs: Pick<BlobStore, 'readExtents'>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const read = (extents: readonly Extent[]) => blobs.readExtents(extents, 0, sizeOf(extents), signal)
  let extents: Extent[] = []
  let count = 0
  for await (const change of changes) {
    extents.push(...changeExtents(change))
    count += 1
    if (count % BATCH > 0) continue
    yield* read(extents)
    extents = []
  }
  yield* read([...extents, LAYER_END])
}

/** What cannot be asked again: a machine's root has changed by then. */
function onceOnly(open: (signal: AbortSignal) => AsyncIterable<Uint8Array>): LayerSource['open'] {
  return (offset, signal) => {
    if (offset > 0) throw new AppError('internal', 'Cannot commit: what a machine sends cannot be asked for again')
    return open(signal)
  }
}

/** A layer that is in the store, uncompressed. */
function present({ diffId, sizeBytes }: { diffId: Digest; sizeBytes: number }): LayerPlan {
  const gone = (): never => {
    throw new AppError('not_found', `Cannot read layer ${diffId}: it is not in the store; pull the image again`)
  }
  const source = { name: `layer ${diffId}`, diffId, sizeBytes, open: gone }
  return { digest: diffId, mediaType: MEDIA_TYPES.ociLayer, source }
}
