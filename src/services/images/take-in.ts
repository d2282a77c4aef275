/** The last leg of every pull and import: layers into the store, tree checked, record written. All or nothing is seen. */
import { AppError } from '../../base/errors.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import { createdAtMs, type ImageDocuments } from './documents.ts'
import type { ImageLayer, ImageRecord, OnProgress } from './image.ts'
import type { KnownLayerSource } from './intake.ts'
import type { ImageNeeds } from './needs.ts'

/** An image of which everything is known but the bytes of its layers. */
export interface ImagePlan {
  readonly documents: ImageDocuments
  /** Lowest first; as many as the config names. */
  readonly layers: readonly LayerPlan[]
  readonly references: readonly string[]
  readonly repoDigests: readonly string[]
}

export interface LayerPlan {
  readonly digest: Digest
  readonly mediaType: string
  readonly source: KnownLayerSource
}

/**
 * Brings in what is missing and writes the record.
 * @throws {AppError} invalid when a layer is not what it must be; then nothing of the image stays
 */
export async function takeIn(
  needs: ImageNeeds,
  plan: ImagePlan,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const diffIds = new Set(plan.layers.map((layer) => layer.source.diffId))
  try {
    using _lease = await needs.keeper.lease(diffIds)
    const layers = await bringLayers(needs, plan.layers, onProgress, signal)
    const record = recordOf(plan, layers, needs.now())
    await needs.mergeTree(record)
    signal.throwIfAborted()
    await needs.store.put(record)
    onProgress({ kind: 'stored', imageId: record.id })
    return (await needs.store.get(record.id)) ?? record
  } catch (error) {
    // Good layers of an image that is none are of no use to anybody; those of an interrupted transfer are, the next time.
    if (error instanceof AppError && error.code === 'invalid') await needs.keeper.collect(needs.referenced, diffIds)
    throw error
  }
}

/** All layers at once; when one fails, the others are stopped and waited for. */
async function bringLayers(
  { intake }: ImageNeeds,
  plans: readonly LayerPlan[],
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<ImageLayer[]> {
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  let failure: { readonly error: unknown } | undefined
  const bring = async ({ digest, mediaType, source }: LayerPlan): Promise<ImageLayer | undefined> => {
    try {
      const sizeBytes = await intake.ensure(source, onProgress, either)
      return { diffId: source.diffId, digest, mediaType, sizeBytes }
    } catch (error) {
      failure ??= { error }
      stop.abort()
      return undefined
    }
  }
  const layers = await Promise.all(plans.map(bring))
  if (failure !== undefined) throw failure.error
  return layers.filter((layer) => layer !== undefined)
}

function recordOf({ documents, references, repoDigests }: ImagePlan, layers: ImageLayer[], nowMs: number): ImageRecord {
  const { manifest, config } = documents
  return {
    id: config.digest,
    manifestDigest: manifest.digest,
    references,
    repoDigests,
    platform: config.value.platform,
    createdAtMs: createdAtMs(config.value),
    storedAtMs: nowMs,
    sizeBytes: layers.reduce((sum, layer) => sum + layer.sizeBytes, 0),
    layers,
    config: config.value,
    configBytes: config.bytes,
    manifestBytes: manifest.bytes,
  }
}
