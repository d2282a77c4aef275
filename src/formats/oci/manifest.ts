/**
 * Image manifests and indexes, OCI (image-spec manifest.md, image-index.md) and Docker schema 2. What a document is, is decided
 * once, here: one that could be read as both is refused (CVE-2021-41190), and so is one that is not of the type it came as.
 */
import { WireError } from '../../base/errors.ts'
import { parseDocument, type Field } from './document.ts'
import type { Descriptor, Index, Manifest, Platform } from './image.ts'
import { CONFIG_TYPES, INDEX_TYPES, isImageLayer, MANIFEST_TYPES, MEDIA_TYPES, SCHEMA_1_TYPES } from './media-types.ts'

/** Docker stops at 127 layers. */
const MAX_LAYERS = 1000
const MAX_MANIFESTS = 10_000

/**
 * Reads a manifest or an index.
 * @param mediaType what the registry or the descriptor said it is; undefined where nobody did (a file on disk)
 * @throws {WireError} when it breaks its format, is of Docker's schema 1, or is not of `mediaType`
 */
export function parseManifestOrIndex(bytes: Uint8Array, mediaType?: string): Manifest | Index {
  const document = parseDocument(bytes, 'image manifest')
  const type = typeOf(document, mediaType)
  return INDEX_TYPES.has(type) ? indexOf(document, type) : manifestOf(document, type)
}

/** @throws {WireError} also when it is an index */
export function parseManifest(bytes: Uint8Array, mediaType?: string): Manifest {
  const value = parseManifestOrIndex(bytes, mediaType)
  if (value.kind === 'manifest') return value
  throw new WireError('image manifest', 'it is an index')
}

/** Also OCI layouts' `index.json`. @throws {WireError} also when it is a manifest */
export function parseIndex(bytes: Uint8Array, mediaType?: string): Index {
  const value = parseManifestOrIndex(bytes, mediaType)
  if (value.kind === 'index') return value
  throw new WireError('image index', 'it is the manifest of one image')
}

/** Whether a manifest is of an image that can run, not of another artifact (image-spec manifest.md, "Guidelines for Artifact Usage"). */
export function isImage(manifest: Manifest): boolean {
  return (
    CONFIG_TYPES.has(manifest.config.mediaType) && manifest.layers.every(({ mediaType }) => isImageLayer(mediaType))
  )
}

/** Reads `os`, `architecture` and `variant` beside each other, as descriptors and configs have them. */
export function platformOf(field: Field): Platform {
  return {
    os: field.at('os').string(),
    architecture: field.at('architecture').string(),
    variant: field.at('variant').stringOr(''),
    osVersion: field.at('os.version').stringOr(''),
    osFeatures: field.at('os.features').plainStrings(100),
  }
}

function typeOf(document: Field, mediaType: string | undefined): string {
  refuseSchema1(document, mediaType)
  if (document.at('schemaVersion').count() !== 2) throw document.at('schemaVersion').wrong('2')
  const isIndex = document.has('manifests')
  if (isIndex && (document.has('layers') || document.has('config')))
    throw new WireError('image manifest', 'it has both manifests and layers or config, so it is two things at once')
  const own = document.at('mediaType').stringOr(undefined)
  if (own !== undefined && mediaType !== undefined && own !== mediaType)
    throw document.at('mediaType').wrong(`"${mediaType}" as it came`)
  const type = own ?? mediaType ?? (isIndex ? MEDIA_TYPES.ociIndex : MEDIA_TYPES.ociManifest)
  if (!INDEX_TYPES.has(type) && !MANIFEST_TYPES.has(type))
    throw new WireError('image manifest', `"${type.slice(0, 200)}" is not a type of manifest or index that is known`)
  if (INDEX_TYPES.has(type) !== isIndex) throw new WireError('image manifest', `it is not what its type "${type}" says`)
  return type
}

function refuseSchema1(document: Field, mediaType: string | undefined): void {
  const version = document.at('schemaVersion')
  const isOld = !version.isAbsent && version.count() === 1
  if (isOld || document.has('fsLayers') || (mediaType !== undefined && SCHEMA_1_TYPES.has(mediaType)))
    throw new WireError(
      'image manifest',
      "it is of Docker's schema 1, which no longer is supported: push the image again",
    )
}

function manifestOf(document: Field, mediaType: string): Manifest {
  const layers = document.at('layers')
  if (layers.isAbsent) throw layers.wrong('a list')
  return {
    kind: 'manifest',
    mediaType,
    artifactType: document.at('artifactType').stringOr(undefined),
    config: descriptorOf(document.at('config')),
    layers: layers.items(MAX_LAYERS).map(descriptorOf),
    subject: optionalDescriptor(document.at('subject')),
    annotations: document.at('annotations').stringMap(),
  }
}

function indexOf(document: Field, mediaType: string): Index {
  return {
    kind: 'index',
    mediaType,
    artifactType: document.at('artifactType').stringOr(undefined),
    manifests: document.at('manifests').items(MAX_MANIFESTS).map(descriptorOf),
    subject: optionalDescriptor(document.at('subject')),
    annotations: document.at('annotations').stringMap(),
  }
}

function optionalDescriptor(field: Field): Descriptor | undefined {
  return field.isAbsent ? undefined : descriptorOf(field)
}

/** image-spec descriptor.md. `urls` are not read: content comes from the registry that was asked, or not at all. */
function descriptorOf(field: Field): Descriptor {
  const mediaType = field.at('mediaType').string()
  if (!/^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/.test(mediaType))
    throw field.at('mediaType').wrong('a media type')
  const size = field.at('size').count()
  return {
    mediaType,
    digest: field.at('digest').digest(),
    size,
    annotations: field.at('annotations').stringMap(),
    artifactType: field.at('artifactType').stringOr(undefined),
    platform: field.has('platform') ? platformOf(field.at('platform')) : undefined,
    data: embedded(field.at('data'), size),
  }
}

function embedded(field: Field, size: number): Uint8Array | undefined {
  if (field.isAbsent) return undefined
  const text = field.string()
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text || bytes.length !== size) throw field.wrong(`${size} bytes in base64`)
  return new Uint8Array(bytes)
}
