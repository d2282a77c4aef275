/** The documents of an image, read and checked against each other, errors in the words of who asked. */
import { createHash } from 'node:crypto'
import { AppError, WireError } from '../../base/errors.ts'
import { parseImageConfig } from '../../formats/oci/config.ts'
import { parseDigest, type Digest } from '../../formats/oci/digest.ts'
import type { Descriptor, ImageConfig, Index, Manifest } from '../../formats/oci/image.ts'
import { isImage, parseManifestOrIndex } from '../../formats/oci/manifest.ts'
import { CONFIG_TYPES, isImageLayer } from '../../formats/oci/media-types.ts'
import type { FetchedManifest } from './ports.ts'

/** A document with the bytes that its digest is of. */
export interface Document<T> {
  readonly digest: Digest
  readonly bytes: Uint8Array
  readonly value: T
}

/** Everything about an image but its layers' bytes. */
export interface ImageDocuments {
  readonly manifest: Document<Manifest>
  readonly config: Document<ImageConfig>
}

/** @throws {AppError} invalid, naming the manifest */
export function readManifest(fetched: FetchedManifest, name: string): Document<Manifest | Index> {
  const what = `manifest ${fetched.digest} of "${name}"`
  const value = checked(what, () => parseManifestOrIndex(fetched.bytes, fetched.mediaType))
  return { digest: fetched.digest, bytes: fetched.bytes, value }
}

/** An image manifest and no other kind. @throws {AppError} invalid */
export function expectImage(document: Document<Manifest | Index>, name: string): Document<Manifest> {
  const { value, digest } = document
  if (value.kind !== 'manifest')
    throw new AppError('invalid', `Cannot use manifest ${digest} of "${name}": it is an index within an index`)
  if (!isImage(value)) {
    const layer = value.layers.find(({ mediaType }) => !isImageLayer(mediaType))
    const why = CONFIG_TYPES.has(value.config.mediaType)
      ? `layer ${layer?.digest} is of type "${layer?.mediaType}"`
      : `its config is of type "${value.config.mediaType}"`
    throw new AppError('invalid', `Cannot use manifest ${digest} of "${name}": it is no container image; ${why}`)
  }
  return { ...document, value }
}

/** @throws {AppError} invalid when it is malformed or does not go with the manifest */
export function readConfig(
  bytes: Uint8Array,
  descriptor: Pick<Descriptor, 'digest'>,
  layerCount: number,
  name: string,
): Document<ImageConfig> {
  const value = checked(`config ${descriptor.digest} of "${name}"`, () => parseImageConfig(bytes))
  if (value.diffIds.length !== layerCount)
    throw new AppError(
      'invalid',
      `Cannot use config ${descriptor.digest} of "${name}": it names ${value.diffIds.length} layers, the manifest ${layerCount}`,
    )
  return { digest: descriptor.digest, bytes, value }
}

/** @throws {AppError} invalid when the bytes are not those that the descriptor speaks of */
export function verifyDocument(bytes: Uint8Array, descriptor: Pick<Descriptor, 'digest' | 'size'>, what: string): void {
  if (bytes.length !== descriptor.size)
    throw new AppError(
      'invalid',
      `Cannot read ${what}: it has ${bytes.length} bytes, its descriptor says ${descriptor.size}`,
    )
  const actual = digestOf(bytes, descriptor.digest.startsWith('sha512:') ? 'sha512' : 'sha256')
  if (actual !== descriptor.digest)
    throw new AppError('invalid', `Cannot read ${what}: its digest is ${actual}, not ${descriptor.digest}`)
}

export function digestOf(bytes: Uint8Array, algorithm: 'sha256' | 'sha512' = 'sha256'): Digest {
  return parseDigest(`${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`)
}

/** When the image says it was made, milliseconds since 1970; undefined where it says nothing that is a date. */
export function createdAtMs({ created }: ImageConfig): number | undefined {
  const at = created === undefined ? Number.NaN : Date.parse(created)
  return Number.isNaN(at) ? undefined : at
}

/** What `parse` yields. @throws {AppError} invalid where it throws a WireError */
export function checked<T>(what: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    throw new AppError('invalid', `Cannot use ${what}: ${error.message.replace(/^Cannot read /, '')}`, { cause: error })
  }
}
