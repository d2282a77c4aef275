/** Images in a `docker save` archive (docker image spec v1.2, "Combined Image JSON + Filesystem Changeset Format"). */
import { AppError } from '../../base/errors.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import { parseDockerArchive, type DockerArchiveImage } from '../../formats/oci/layout.ts'
import { parseReference } from '../../formats/oci/reference.ts'
import { readWhole } from './archive-files.ts'
import { checked, digestOf, readConfig } from './documents.ts'
import type { ImportContext } from './import-context.ts'
import { manifestFor } from './made-manifest.ts'
import { tagName } from './names.ts'
import type { ImageFiles } from './ports.ts'
import type { ImagePlan } from './take-in.ts'

const MAX_DOCUMENT_BYTES = 8 << 20

/**
 * The images that `manifest.json` lists.
 * @returns undefined where there is none that could be docker's
 * @throws {AppError} invalid
 */
export async function readDockerArchive(
  files: ImageFiles,
  context: ImportContext,
  signal: AbortSignal,
): Promise<ImagePlan[] | undefined> {
  const size = await files.sizeBytes('manifest.json')
  if (size === undefined || size > MAX_DOCUMENT_BYTES) return undefined
  const bytes = (await readWhole(files, 'manifest.json', MAX_DOCUMENT_BYTES, signal))!
  if (!isDockers(bytes)) return undefined
  const items = checked(`manifest.json of "${context.name}"`, () => parseDockerArchive(bytes))
  const plans: ImagePlan[] = []
  for (const item of items) plans.push(await readItem(files, item, context, signal))
  return plans
}

/** Some root file system may have a manifest.json of its own; docker's is a list of objects with layers. */
function isDockers(bytes: Uint8Array): boolean {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    const first: unknown = Array.isArray(value) ? value[0] : undefined
    return typeof first === 'object' && first !== null && 'Layers' in first
  } catch {
    return false
  }
}

async function readItem(
  files: ImageFiles,
  item: DockerArchiveImage,
  context: ImportContext,
  signal: AbortSignal,
): Promise<ImagePlan> {
  const configBytes = await readWhole(files, item.config, MAX_DOCUMENT_BYTES, signal)
  if (configBytes === undefined)
    throw new AppError('invalid', `Cannot import "${context.name}": config ${quote(item.config)} is not in it`)
  const digest = digestOf(configBytes)
  checkName(item.config, digest, context)
  const config = readConfig(configBytes, { digest }, item.layers.length, context.name)
  const layers = await Promise.all(
    item.layers.map(async (name, at) => {
      const sizeBytes = await files.sizeBytes(name)
      if (sizeBytes === undefined)
        throw new AppError('invalid', `Cannot import "${context.name}": layer ${quote(name)} is not in it`)
      const diffId = config.value.diffIds[at]!
      return {
        digest: diffId,
        mediaType: 'application/vnd.oci.image.layer.v1.tar',
        source: {
          name: `layer ${diffId} (${quote(name)}) of "${context.name}"`,
          diffId,
          sizeBytes,
          open: (offset: number, stop: AbortSignal) => files.stream(name, offset, stop),
        },
      }
    }),
  )
  const manifest = manifestFor(
    config,
    layers.map(({ digest: layer, source }) => ({ digest: layer, size: source.sizeBytes })),
  )
  return { documents: { manifest, config }, layers, references: references(item.repoTags), repoDigests: [] }
}

/** Docker names the config after its digest; what it is then said to be, it must be. */
function checkName(name: string, digest: Digest, context: ImportContext): void {
  const hex = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(name)?.[1]
  if (hex !== undefined && digest !== `sha256:${hex}`)
    throw new AppError('invalid', `Cannot import "${context.name}": the digest of config ${quote(name)} is ${digest}`)
}

function references(tags: readonly string[]): string[] {
  return tags.map((tag) => tagName(parseReference(tag))).filter((tag) => tag !== undefined)
}

function quote(name: string): string {
  return JSON.stringify(name.slice(0, 200))
}
