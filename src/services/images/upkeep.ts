/** What the care of the store does with images and their layers, past no pull that is under way. */
import { AppError, explain } from '../../base/errors.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import type { Manifest } from '../../formats/oci/image.ts'
import { parseReference, type Reference } from '../../formats/oci/reference.ts'
import { digestOf, readConfig, readManifest, type Document } from './documents.ts'
import type { ImageRecord, OnProgress } from './image.ts'
import type { ImageNeeds } from './needs.ts'
import type { StoredDocuments } from './ports.ts'
import { layerSource } from './pull.ts'

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
  /**
   * Fetches a layer again that is not here, or is not what it must be, from where one of its images came from.
   * @throws {AppError} unsupported when none of them came from a registry; else what the last registry answered
   */
  refetch(diffId: Digest, onProgress: OnProgress, signal: AbortSignal): Promise<void>
  /** The documents of all images, as they are. */
  documents(): Promise<readonly StoredDocuments[]>
  /** Why the documents are not what their digests say; undefined for good ones. */
  faultOf(documents: StoredDocuments): string | undefined
  /** Fetches the documents of an image again. @throws {AppError} as `refetch` */
  refetchDocuments(documents: StoredDocuments, signal: AbortSignal): Promise<void>
}

export function createUpkeep(needs: ImageNeeds): Upkeep {
  const { store, keeper, registry, intake, referenced, forgetTree, log } = needs

  /** The manifest of an image from its registry. @throws {AppError} when it is not that image's */
  async function fetchManifest(
    imageId: Digest,
    name: string,
    signal: AbortSignal,
  ): Promise<{ reference: Reference; manifest: Document<Manifest> } | undefined> {
    const reference = parseReference(name)
    const document = readManifest(await registry.manifest(reference, reference.digest!, {}, signal), name)
    // Of the manifest and the index that led to it, this is the index.
    if (document.value.kind !== 'manifest' || document.value.config.digest !== imageId) return undefined
    return { reference, manifest: { ...document, value: document.value } }
  }

  /** Tries each place that something came from until `fetch` yields something. @throws {AppError} */
  async function fromAny<T>(
    doing: string,
    places: readonly { readonly imageId: Digest; readonly name: string }[],
    fetch: (from: { reference: Reference; manifest: Document<Manifest> }, imageId: Digest) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    let failure: AppError | undefined
    for (const { imageId, name } of places)
      try {
        const from = await fetchManifest(imageId, name, signal)
        if (from !== undefined) return await fetch(from, imageId)
      } catch (cause) {
        signal.throwIfAborted()
        if (!(cause instanceof AppError)) throw cause
        log.warn('not fetched again', { name, why: explain(cause) })
        failure = new AppError(cause.code, `Cannot ${doing}`, { cause })
      }
    if (failure !== undefined) throw failure
    throw new AppError(
      'unsupported',
      `Cannot ${doing}: no image that has it came from a registry; import the image again`,
    )
  }

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

    async refetch(diffId, onProgress, signal) {
      const holders = (await store.list()).filter(({ layers }) => layers.some((layer) => layer.diffId === diffId))
      const places = holders.flatMap(({ id, repoDigests }) => repoDigests.map((name) => ({ imageId: id, name })))
      const positions = new Map(holders.map(({ id, layers }) => [id, layers.findIndex((one) => one.diffId === diffId)]))
      using _lease = await keeper.lease([diffId])
      await fromAny(
        `fetch layer ${diffId} again`,
        places,
        async ({ reference, manifest }, imageId) => {
          const descriptor = manifest.value.layers[positions.get(imageId)!]
          if (descriptor === undefined)
            throw new AppError('bad_peer', `Cannot use manifest ${manifest.digest}: it has fewer layers than its image`)
          await intake.ensure(layerSource(registry, reference, descriptor, diffId, {}), onProgress, signal)
        },
        signal,
      )
      log.info('layer fetched again', { diffId })
    },

    documents: () => store.documents(),
    faultOf({ id, manifestDigest, manifestBytes, configBytes }) {
      const of = (digest: Digest) => (digest.startsWith('sha512:') ? 'sha512' : 'sha256')
      const [config, manifest] = [digestOf(configBytes, of(id)), digestOf(manifestBytes, of(manifestDigest))]
      if (config !== id) return `the digest of its config is ${config}`
      return manifest === manifestDigest
        ? undefined
        : `the digest of its manifest is ${manifest}, not ${manifestDigest}`
    },
    async refetchDocuments({ id, repoDigests }, signal) {
      await fromAny(
        `fetch the documents of image ${id} again`,
        repoDigests.map((name) => ({ imageId: id, name })),
        async ({ reference, manifest }) => {
          const descriptor = manifest.value.config
          const configBytes = await registry.blob(reference, descriptor, {}, signal)
          readConfig(configBytes, descriptor, manifest.value.layers.length, id)
          await store.putDocuments(id, {
            manifestDigest: manifest.digest,
            manifestBytes: manifest.bytes,
            configBytes,
          })
        },
        signal,
      )
      log.info('documents of an image fetched again', { imageId: id })
    },
  }
}
