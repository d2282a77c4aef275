/** Images out of registries. */
import { AppError } from '../../base/errors.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import type { Descriptor, Index, Platform } from '../../formats/oci/image.ts'
import { choosePlatform, formatPlatform, parsePlatform } from '../../formats/oci/platform.ts'
import { parseReference, type Reference } from '../../formats/oci/reference.ts'
import { expectImage, readConfig, readManifest } from './documents.ts'
import type { ImageRecord, OnProgress } from './image.ts'
import type { PullOptions } from './images.ts'
import type { KnownLayerSource } from './intake.ts'
import { fullName, repoDigest, tagName, wanted } from './names.ts'
import type { ImageNeeds } from './needs.ts'
import { fits, listPlatforms } from './platform.ts'
import type { RegistryAccess, RegistryPort } from './ports.ts'
import { takeIn, type LayerPlan } from './take-in.ts'

/** @throws {AppError} as Images.pull */
export async function pullImage(
  needs: ImageNeeds,
  text: string,
  { policy = 'missing', platform, ...access }: PullOptions,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const reference = parseReference(text)
  const asked = platform === undefined ? undefined : parsePlatform(platform)
  if (policy !== 'always') {
    const here = await findHere(needs, reference, asked)
    if (here !== undefined) return here
    if (policy === 'never')
      throw new AppError(
        'not_found',
        `Cannot use image "${fullName(reference)}": it is not here${asked ? ` for ${formatPlatform(asked)}` : ''} and is not to be pulled; use --pull missing`,
      )
  }
  return fetchImage(needs, reference, { asked, access }, onProgress, signal)
}

/** The image by that name, if it is whole and of the platform that is asked for. */
async function findHere(
  { store, blobs }: ImageNeeds,
  reference: Reference,
  asked: Platform | undefined,
): Promise<ImageRecord | undefined> {
  const tag = tagName(reference)
  const found =
    tag === undefined
      ? await store.byRepoDigest(repoDigest(reference, reference.digest!))
      : [await store.byReference(tag)].filter((record) => record !== undefined)
  for (const record of found) {
    if (asked !== undefined && !fits(asked, record.platform)) continue
    const isWhole = await Promise.all(record.layers.map((layer) => blobs.has(layer.diffId)))
    if (isWhole.every(Boolean)) return record
  }
  return undefined
}

interface FetchOptions {
  readonly asked: Platform | undefined
  readonly access: RegistryAccess
}

async function fetchImage(
  needs: ImageNeeds,
  reference: Reference,
  { asked, access }: FetchOptions,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const { registry, log, now } = needs
  const startedMs = now()
  const name = fullName(reference)
  needs.blobs.expectLayers()
  const fetch = async (what: string) => readManifest(await registry.manifest(reference, what, access, signal), name)
  const top = await fetch(wanted(reference))
  const chosen = top.value.kind === 'index' ? await fetch(choose(top.value, asked ?? needs.platform, name)) : top
  const manifest = expectImage(chosen, name)
  const configBytes = await registry.blob(reference, manifest.value.config, access, signal)
  const config = readConfig(configBytes, manifest.value.config, manifest.value.layers.length, name)
  checkPlatform(config.value.platform, asked, name)
  onProgress({ kind: 'resolved', manifestDigest: manifest.digest, layerCount: manifest.value.layers.length })
  const tag = tagName(reference)
  const record = await takeIn(
    needs,
    {
      documents: { manifest, config },
      layers: manifest.value.layers.map((layer, at) =>
        planLayer(needs, reference, layer, config.value.diffIds[at]!, access),
      ),
      references: tag === undefined ? [] : [tag],
      repoDigests: [...new Set([top, manifest].map(({ digest }) => repoDigest(reference, digest)))],
    },
    onProgress,
    signal,
  )
  log.info('image pulled', {
    reference: name,
    imageId: record.id,
    sizeBytes: record.sizeBytes,
    tookMs: now() - startedMs,
  })
  return record
}

function choose(index: Index, platform: Platform, name: string): Digest {
  const chosen = choosePlatform(index, platform)
  if (chosen === undefined)
    throw new AppError(
      'not_found',
      `Cannot pull "${name}": it has nothing for ${formatPlatform(platform)}, only for ${listPlatforms(index)}; name one with --platform`,
    )
  return chosen.digest
}

function checkPlatform(is: Platform, asked: Platform | undefined, name: string): void {
  if (asked !== undefined && !fits(asked, is))
    throw new AppError('invalid', `Cannot pull "${name}" for ${formatPlatform(asked)}: it is for ${formatPlatform(is)}`)
}

function planLayer(
  { registry }: ImageNeeds,
  reference: Reference,
  layer: Descriptor,
  diffId: Digest,
  access: RegistryAccess,
): LayerPlan {
  const { digest, mediaType } = layer
  return { digest, mediaType, source: layerSource(registry, reference, layer, diffId, access) }
}

/** A layer's own bytes come from the registry that was named; what its descriptor says in `urls` is not followed. */
export function layerSource(
  registry: Pick<RegistryPort, 'stream'>,
  reference: Reference,
  { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
  diffId: Digest,
  access: RegistryAccess,
): KnownLayerSource {
  return {
    name: `layer ${digest} of "${fullName(reference)}"`,
    digest,
    diffId,
    sizeBytes: size,
    isResumable: true,
    open: (offset, stop) => registry.stream(reference, { digest, size }, offset, access, stop),
  }
}
