/** An image as one archive that other programs load: an OCI layout, or what `docker save` writes. Layers are put in uncompressed. */
import type { Extent } from '../../../formats/extents.ts'
import { digestParts } from '../../../formats/oci/digest.ts'
import { layoutBlobPath } from '../../../formats/oci/layout.ts'
import { parseManifest } from '../../../formats/oci/manifest.ts'
import { MEDIA_TYPES } from '../../../formats/oci/media-types.ts'
import { familiarReference, parseReference } from '../../../formats/oci/reference.ts'
import { tarArchive, type ArchiveFile } from '../../../formats/tar/archive.ts'
import type { ImageLayer, ImageRecord } from '../image.ts'
import { manifestFor } from '../made-manifest.ts'

/**
 * image-spec image-layout.md. The config is byte for byte what it was, so the image keeps its id; the manifest is the image's own
 * where its layers were uncompressed, else one made for them.
 * @param tag the name in full that it was asked for by
 */
export function ociArchive(record: ImageRecord, tag: string | undefined): Extent[] {
  const manifest = manifestOf(record)
  const { os, architecture, variant } = record.platform
  const index = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests: [
      {
        mediaType: manifest.mediaType,
        digest: manifest.digest,
        size: manifest.bytes.length,
        platform: { architecture, os, ...(variant === '' ? {} : { variant }) },
        ...(tag === undefined ? {} : { annotations: namesOf(tag) }),
      },
    ],
  }
  return archive(record, [
    json('oci-layout', { imageLayoutVersion: '1.0.0' }),
    json('index.json', index),
    { name: layoutBlobPath(manifest.digest), content: literal(manifest.bytes) },
    { name: layoutBlobPath(record.id), content: literal(record.configBytes) },
    ...layersOf(record, ({ diffId }) => layoutBlobPath(diffId)),
  ])
}

/** docker image spec v1.2, "Combined Image JSON + Filesystem Changeset Format". @param tag as ociArchive */
export function dockerArchive(record: ImageRecord, tag: string | undefined): Extent[] {
  const config = `${digestParts(record.id).hex}.json`
  const nameOf = ({ diffId }: ImageLayer): string => `${digestParts(diffId).hex}/layer.tar`
  const reference = tag === undefined ? undefined : parseReference(tag)
  const repository = reference && familiarReference({ ...reference, tag: undefined })
  const top = record.layers.at(-1)
  const repositories =
    repository === undefined || top === undefined
      ? {}
      : { [repository]: { [reference!.tag!]: digestParts(top.diffId).hex } }
  const manifest = {
    Config: config,
    RepoTags: reference === undefined ? null : [familiarReference(reference)],
    Layers: record.layers.map(nameOf),
  }
  return archive(record, [
    json('manifest.json', [manifest]),
    json('repositories', repositories),
    { name: config, content: literal(record.configBytes) },
    ...layersOf(record, nameOf),
  ])
}

function archive(record: ImageRecord, files: readonly ArchiveFile[]): Extent[] {
  return tarArchive(files, Math.max(0, Math.floor((record.createdAtMs ?? 0) / 1000)))
}

function manifestOf(record: ImageRecord) {
  const { manifestBytes: bytes, manifestDigest: digest, layers } = record
  if (layers.every((layer) => layer.digest === layer.diffId))
    return { bytes, digest, mediaType: parseManifest(bytes).mediaType }
  const config = { digest: record.id, bytes: record.configBytes, value: record.config }
  const made = manifestFor(
    config,
    layers.map(({ diffId, sizeBytes }) => ({ digest: diffId, size: sizeBytes })),
  )
  return { bytes: made.bytes, digest: made.digest, mediaType: made.value.mediaType }
}

/** The tag alone as the layout's own name, and the whole where containerd and docker look for it. */
function namesOf(tag: string): Record<string, string> {
  return {
    'io.containerd.image.name': tag,
    'org.opencontainers.image.ref.name': parseReference(tag).tag!,
  }
}

/** Each layer once, however often the image has it. */
function layersOf({ layers }: ImageRecord, nameOf: (layer: ImageLayer) => string): ArchiveFile[] {
  const once = new Map(layers.map((layer) => [layer.diffId, layer]))
  return [...once.values()].map((layer) => ({
    name: nameOf(layer),
    content: [{ kind: 'blob', blob: layer.diffId, offset: 0, length: layer.sizeBytes }],
  }))
}

function json(name: string, value: unknown): ArchiveFile {
  return { name, content: literal(new TextEncoder().encode(JSON.stringify(value))) }
}

function literal(bytes: Uint8Array): Extent[] {
  return [{ kind: 'bytes', bytes }]
}
