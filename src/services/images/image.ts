/** An image as it is kept here: the documents that describe it, and which stored layers it is made of. */
import type { Digest } from '../../formats/oci/digest.ts'
import type { ImageConfig, Platform } from '../../formats/oci/image.ts'

/** One layer of an image. Its bytes are found by `diffId`; `digest` is what the registry calls it. */
export interface ImageLayer {
  /** Digest of the uncompressed tar: the name of the blob in the store, and of extents. */
  readonly diffId: Digest
  /** Digest of the bytes as they were transferred. */
  readonly digest: Digest
  readonly mediaType: string
  /** Bytes of the uncompressed tar. */
  readonly sizeBytes: number
}

export interface ImageRecord {
  /** Digest of the config, as docker's image id. */
  readonly id: Digest
  /** Digest of the image manifest (not of an index that led to it). */
  readonly manifestDigest: Digest
  /** Tags in full, e.g. `docker.io/library/debian:12`, in the order of their characters. */
  readonly references: readonly string[]
  /** `registry/repository@digest` of each manifest or index by which it was pulled. */
  readonly repoDigests: readonly string[]
  readonly platform: Platform
  /** When the image was made, as its config says; undefined where it does not. Milliseconds since 1970. */
  readonly createdAtMs: number | undefined
  /** When it came into this store. Milliseconds since 1970. */
  readonly storedAtMs: number
  /** Sum of the uncompressed layers, each counted as often as it occurs. */
  readonly sizeBytes: number
  /** Lowest first. */
  readonly layers: readonly ImageLayer[]
  readonly config: ImageConfig
  /** The config document, byte for byte: its digest is `id`. */
  readonly configBytes: Uint8Array
  /** The manifest, byte for byte: its digest is `manifestDigest`. */
  readonly manifestBytes: Uint8Array
}

/** What a pull or import tells while it goes on. `bytes` counts compressed bytes that have arrived. */
export type ImageProgress =
  | { readonly kind: 'resolved'; readonly manifestDigest: Digest; readonly layerCount: number }
  | {
      readonly kind: 'layer'
      readonly digest: Digest
      readonly state: LayerState
      readonly bytes: number
      /** Undefined where nobody said how much will come. */
      readonly totalBytes: number | undefined
    }
  /** A file that is imported comes in; what is in it is not known yet. */
  | {
      readonly kind: 'file'
      readonly state: 'downloading' | 'verifying'
      readonly bytes: number
      readonly totalBytes: number | undefined
    }
  | { readonly kind: 'stored'; readonly imageId: Digest }

/** `present`: it was in the store already. */
export type LayerState = 'waiting' | 'downloading' | 'verifying' | 'done' | 'present'

export type OnProgress = (event: ImageProgress) => void

/** What two images differ in, path by path, as people read it. */
export interface TreeChange {
  readonly kind: 'added' | 'removed' | 'changed'
  readonly path: string
  /** For `changed`: which properties differ, e.g. `mode 0644 -> 0755`, `content`. */
  readonly details: readonly string[]
}
