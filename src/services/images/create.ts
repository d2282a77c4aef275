/** Builds the image service from its ports. */
import type { Now } from '../../base/clock.ts'
import { AppError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { isAbort } from '../../base/task.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import { parsePlatform } from '../../formats/oci/platform.ts'
import { parseReference } from '../../formats/oci/reference.ts'
import { commitImage } from './commit/commit.ts'
import { diffTrees } from './diff.ts'
import type { ImageRecord } from './image.ts'
import type { Images } from './images.ts'
import { importImages } from './import.ts'
import { LayerIntake } from './intake.ts'
import { LayerKeeper } from './keeper.ts'
import { tagName } from './names.ts'
import type { ImageNeeds } from './needs.ts'
import type { BlobStore, ImageStore, ImageUsers, ImportPort, KeptLayers, RegistryPort } from './ports.ts'
import { pullImage } from './pull.ts'
import { removeImage } from './remove.ts'
import { resolveImage } from './resolve.ts'
import { Trees } from './trees.ts'
import { createUpkeep } from './upkeep.ts'

export interface ImagesDeps {
  readonly log: Log
  readonly now: Now
  readonly blobs: BlobStore
  readonly store: ImageStore
  readonly registry: RegistryPort
  readonly imports: ImportPort
  /** Default: none. */
  readonly users?: ImageUsers
  /** Default: none. */
  readonly kept?: KeptLayers
  /** What is pulled where nobody names a platform. Default `linux/amd64`. */
  readonly platform?: string
}

const NEVER = new AbortController().signal

export function createImages({ log, now, blobs, store, registry, imports, users, kept, platform }: ImagesDeps): Images {
  const keeper = new LayerKeeper(blobs, log)
  const trees = new Trees(blobs)
  const referenced = async (without?: ReadonlySet<Digest>): Promise<ReadonlySet<Digest>> => {
    const records = (await store.list()).filter(({ id }) => without?.has(id) !== true)
    const others = (await kept?.()) ?? []
    return new Set([...records.flatMap(({ layers }) => layers.map(({ diffId }) => diffId)), ...others])
  }
  const needs: ImageNeeds = {
    log,
    now,
    blobs,
    store,
    registry,
    imports,
    platform: parsePlatform(platform ?? 'linux/amd64'),
    intake: new LayerIntake(blobs),
    keeper,
    referenced,
    mergeTree: (record) => trees.get(record),
    forgetTree: (imageId) => trees.forget(imageId),
  }
  const inspect = async (image: string) => (await resolveImage(store, image)).record
  const byId = async (imageId: Digest): Promise<ImageRecord> => {
    const record = await store.get(imageId)
    if (record === undefined) throw new AppError('not_found', `Cannot find image "${imageId}": it is not here`)
    return record
  }

  return {
    pull: (reference, options = {}, onProgress = () => {}, signal = NEVER) =>
      told(`pull "${reference}"`, signal, () => pullImage(needs, reference, options, onProgress, signal)),
    import: (source, options = {}, onProgress = () => {}, signal = NEVER) =>
      told(`import "${source}"`, signal, () => importImages(needs, source, options, onProgress, signal)),
    commit: (request, onProgress = () => {}, signal = NEVER) =>
      told(`commit ${request.name}`, signal, () => commitImage(needs, request, onProgress, signal)),
    list: () => store.list(),
    resolve: async (image) => (await inspect(image)).id,
    inspect,
    named: (image) => resolveImage(store, image),
    keep: async (imageId) => keeper.lease((await byId(imageId)).layers.map(({ diffId }) => diffId)),
    async remove(image, { force = false } = {}) {
      const removed = await removeImage({ store, keeper, referenced, users: users ?? (async () => []) }, image, force)
      for (const imageId of removed.deleted) trees.forget(imageId)
      log.info('image removed', { untagged: removed.untagged, deleted: removed.deleted })
      return removed
    },
    async tag(image, reference) {
      const record = await inspect(image)
      const tag = tagName(parseReference(reference))
      if (tag === undefined)
        throw new AppError('invalid', `Cannot tag image "${image}" "${reference}": that is a digest`)
      await store.tag(record.id, tag)
    },
    tree: async (imageId) => trees.get(await byId(imageId)),
    config: async (imageId) => (await byId(imageId)).config,
    layers: async (imageId) => (await byId(imageId)).layers,
    async *diff(a, b) {
      const [before, after] = await Promise.all([inspect(a), inspect(b)])
      yield* diffTrees(await trees.get(before), await trees.get(after), blobs)
    },
    upkeep: createUpkeep(needs),
  }
}

/** An abort in the words of who asked. */
async function told<T>(doing: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (isAbort(cause, signal)) throw new AppError('interrupted', `Cannot ${doing}: it was interrupted`, { cause })
    throw cause
  }
}
