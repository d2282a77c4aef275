/** OCI documents and layouts with any fault in them, for tests. */
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'

export type Json = Record<string, unknown>

export interface MadeLayer {
  readonly plain: Uint8Array
  readonly compression?: 'none' | 'gzip' | 'zstd'
  /** Instead of the compressed form of `plain`. */
  readonly bytes?: Uint8Array
  /** Instead of what is true. */
  readonly descriptor?: Json
  readonly diffId?: string
  readonly isMissing?: boolean
}

export interface MadeImage {
  readonly layers: readonly MadeLayer[]
  readonly config?: Json
  readonly platform?: string
  readonly tag?: string
  readonly manifest?: Json
}

export interface MadeBlob {
  readonly digest: string
  readonly bytes: Uint8Array
}

export interface MadeManifest extends MadeBlob {
  readonly mediaType: string
  readonly blobs: readonly MadeBlob[]
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const INDEX = 'application/vnd.oci.image.index.v1+json'
const SUFFIX = { none: '', gzip: '+gzip', zstd: '+zstd' } as const

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

export function blobOf(value: unknown): MadeBlob {
  const bytes = Buffer.from(JSON.stringify(value))
  return { digest: sha256(bytes), bytes }
}

/** The documents and layers of one image. */
export function makeImage({ layers, config, platform = 'linux/amd64', manifest }: MadeImage): MadeManifest {
  const [os, architecture, variant] = platform.split('/')
  const packed = layers.map((layer) => ({ ...layer, ...pack(layer) }))
  const configBlob = blobOf({
    os,
    architecture,
    ...(variant === undefined ? {} : { variant }),
    config: {},
    rootfs: { type: 'layers', diff_ids: packed.map(({ plain, diffId }) => diffId ?? sha256(plain)) },
    ...config,
  })
  const manifestBlob = blobOf({
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: configBlob.digest,
      size: configBlob.bytes.length,
    },
    layers: packed.map(({ compression = 'gzip', digest, bytes, descriptor }) => ({
      mediaType: `application/vnd.oci.image.layer.v1.tar${SUFFIX[compression]}`,
      digest,
      size: bytes.length,
      ...descriptor,
    })),
    ...manifest,
  })
  const kept = packed.filter(({ isMissing }) => isMissing !== true)
  return { ...manifestBlob, mediaType: MANIFEST, blobs: [configBlob, ...kept] }
}

function pack({ plain, compression = 'gzip', bytes }: MadeLayer): MadeBlob {
  const made =
    bytes ?? (compression === 'gzip' ? gzipSync(plain) : compression === 'zstd' ? zstdCompressSync(plain) : plain)
  return { digest: sha256(made), bytes: made }
}

/** An index of images for several platforms. */
export function makeIndex(
  images: readonly { readonly platform: string; readonly image: MadeManifest }[],
): MadeManifest {
  const manifests = images.map(({ platform, image }) => {
    const [os, architecture, variant] = platform.split('/')
    return {
      mediaType: image.mediaType,
      digest: image.digest,
      size: image.bytes.length,
      platform: { os, architecture, ...(variant === undefined ? {} : { variant }) },
    }
  })
  const blob = blobOf({ schemaVersion: 2, mediaType: INDEX, manifests })
  return { ...blob, mediaType: INDEX, blobs: images.flatMap(({ image }) => [image, ...image.blobs]) }
}

/** The files of a layout by their names. @param index fields put into index.json instead of what is true */
export function layoutFiles(
  images: readonly { readonly tag?: string; readonly image: MadeManifest }[],
  index: Json = {},
): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>([['oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')]])
  const manifests = images.map(({ tag, image }) => ({
    mediaType: image.mediaType,
    digest: image.digest,
    size: image.bytes.length,
    ...(tag === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': tag } }),
  }))
  files.set('index.json', blobOf({ schemaVersion: 2, mediaType: INDEX, manifests, ...index }).bytes)
  for (const { image } of images)
    for (const { digest, bytes } of [image, ...image.blobs]) files.set(`blobs/${digest.replace(':', '/')}`, bytes)
  return files
}

/** Writes a layout into a directory. */
export function writeLayout(directory: string, files: ReadonlyMap<string, Uint8Array>): void {
  for (const [name, bytes] of files) {
    mkdirSync(join(directory, name, '..'), { recursive: true })
    writeFileSync(join(directory, name), bytes)
  }
}
