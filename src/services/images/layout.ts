/** Images in an OCI image layout (image-spec image-layout.md). */
import { AppError } from '../../base/errors.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import type { Descriptor, Index, Manifest } from '../../formats/oci/image.ts'
import { checkOciLayout, layoutBlobPath, refNameOf } from '../../formats/oci/layout.ts'
import { choosePlatform, formatPlatform } from '../../formats/oci/platform.ts'
import { parseReference } from '../../formats/oci/reference.ts'
import { readWhole } from './archive-files.ts'
import { checked, digestOf, expectImage, readConfig, readManifest, verifyDocument, type Document } from './documents.ts'
import type { ImportContext } from './import-context.ts'
import { tagName } from './names.ts'
import { listPlatforms } from './platform.ts'
import type { ImageFiles } from './ports.ts'
import type { ImagePlan, LayerPlan } from './take-in.ts'

const MAX_DOCUMENT_BYTES = 8 << 20
/** Where containerd and docker write the whole name, since ref.name holds only the tag. */
const FULL_NAME = 'io.containerd.image.name'

export async function isLayout(files: ImageFiles): Promise<boolean> {
  return (await files.sizeBytes('oci-layout')) !== undefined && (await files.sizeBytes('index.json')) !== undefined
}

/**
 * The images that `index.json` lists. Entries that carry a name are images of their own; nameless ones are taken to be one
 * image for several platforms, of which the right one is taken.
 * @throws {AppError} invalid
 */
export async function readLayout(files: ImageFiles, context: ImportContext, signal: AbortSignal): Promise<ImagePlan[]> {
  const marker = await readWhole(files, 'oci-layout', MAX_DOCUMENT_BYTES, signal)
  checked(`oci-layout of "${context.name}"`, () => checkOciLayout(marker!))
  const bytes = (await readWhole(files, 'index.json', MAX_DOCUMENT_BYTES, signal))!
  const top = readManifest({ bytes, digest: digestOf(bytes), mediaType: undefined }, `${context.name}: index.json`)
  if (top.value.kind !== 'index')
    throw new AppError('invalid', `Cannot import "${context.name}": its index.json is not an image index`)
  const isNamed = (descriptor: Descriptor) =>
    descriptor.annotations.has(FULL_NAME) || refNameOf(descriptor) !== undefined
  const named = top.value.manifests.filter(isNamed)
  const nameless = top.value.manifests.filter((descriptor) => !isNamed(descriptor))
  const chosen = nameless.length < 2 ? nameless : [choose({ ...top.value, manifests: nameless }, context)]
  // One manifest under several names is one image with several tags.
  const byDigest = Map.groupBy([...named, ...chosen], ({ digest }) => digest)
  const plans: ImagePlan[] = []
  for (const group of byDigest.values()) {
    const references = group.map((descriptor) => referenceOf(descriptor, context)).filter((text) => text !== undefined)
    plans.push(await readImage(files, group[0]!, [...new Set(references)], context, signal))
  }
  return plans
}

/** The tag that a descriptor's annotations give it. A name that is no reference is no reason to refuse the image. */
function referenceOf(descriptor: Descriptor, { name }: ImportContext): string | undefined {
  const full = descriptor.annotations.get(FULL_NAME) ?? refNameOf(descriptor)
  if (full === undefined) return undefined
  const base = name
    .replace(/\/+$/, '')
    .replace(/^.*\//, '')
    .replace(/\.(?:tar|oci|tgz|gz|zst|xz|lz4)\b.*$/, '')
  for (const text of /[/:]/.test(full) ? [full] : [`${base.toLowerCase()}:${full}`])
    try {
      return tagName(parseReference(text))
    } catch (error) {
      if (!(error instanceof AppError)) throw error
    }
  return undefined
}

function choose(index: Index, { name, platform }: ImportContext): Descriptor {
  const chosen = choosePlatform(index, platform)
  if (chosen !== undefined) return chosen
  throw new AppError(
    'not_found',
    `Cannot import "${name}": it has nothing for ${formatPlatform(platform)}, only for ${listPlatforms(index)}; name one with --platform`,
  )
}

async function readImage(
  files: ImageFiles,
  descriptor: Descriptor,
  references: readonly string[],
  context: ImportContext,
  signal: AbortSignal,
): Promise<ImagePlan> {
  const read = async ({ digest, size, mediaType }: Descriptor) => {
    const bytes = await readBlob(files, { digest, size }, context.name, signal)
    return readManifest({ digest, bytes, mediaType }, context.name)
  }
  const top = await read(descriptor)
  const document = top.value.kind === 'index' ? await read(choose(top.value, context)) : top
  const manifest = expectImage(document, context.name)
  const { config, layers } = manifest.value
  const configBytes = await readBlob(files, config, context.name, signal)
  const configDocument = readConfig(configBytes, config, layers.length, context.name)
  await requireLayers(files, manifest, context.name)
  return {
    documents: { manifest, config: configDocument },
    layers: layers.map((layer, at) => planLayer(files, layer, configDocument.value.diffIds[at]!, context.name)),
    references,
    repoDigests: [],
  }
}

function planLayer(
  files: ImageFiles,
  { digest, size, mediaType }: Descriptor,
  diffId: Digest,
  name: string,
): LayerPlan {
  return {
    digest,
    mediaType,
    source: {
      name: `layer ${digest} of "${name}"`,
      digest,
      diffId,
      sizeBytes: size,
      open: (offset, signal) => files.stream(layoutBlobPath(digest), offset, signal),
    },
  }
}

async function readBlob(
  files: ImageFiles,
  descriptor: Pick<Descriptor, 'digest' | 'size'>,
  name: string,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const what = `blob ${descriptor.digest} of "${name}"`
  const bytes = await readWhole(files, layoutBlobPath(descriptor.digest), MAX_DOCUMENT_BYTES, signal)
  if (bytes === undefined) throw new AppError('invalid', `Cannot read ${what}: it is not there`)
  verifyDocument(bytes, descriptor, what)
  return bytes
}

/** Before anything is written: a layer that is not there or has another size is seen at once. */
async function requireLayers(files: ImageFiles, manifest: Document<Manifest>, name: string): Promise<void> {
  for (const { digest, size } of manifest.value.layers) {
    const is = await files.sizeBytes(layoutBlobPath(digest))
    if (is === size) continue
    const state = is === undefined ? 'it is not there' : `it has ${is} bytes, its manifest says ${size}`
    throw new AppError('invalid', `Cannot read layer ${digest} of "${name}": ${state}`)
  }
}
