/** What the image service needs of the outside. drivers/{registry,blobs,layout,store} offer it. */
import type { Extent } from '../../formats/extents.ts'
import type { Digest } from '../../formats/oci/digest.ts'
import type { LayerIndex } from '../../formats/tar/layer-index.ts'
import type { LeafTable } from '../../formats/verity/leaves.ts'
import type { ImageRecord } from './image.ts'

/** Where the bytes of a layer come from, compressed or not. */
export interface LayerSource {
  /** How errors name it, e.g. `layer sha256:… of docker.io/library/debian:12`. */
  readonly name: string
  /** What the bytes must hash to as they arrive; undefined for a file that no document describes. */
  readonly digest?: Digest
  /** How many bytes must arrive. */
  readonly sizeBytes?: number
  /** What the uncompressed bytes must hash to. */
  readonly diffId?: Digest
  /** Whether arrived bytes are worth keeping when the transfer breaks off. Needs `digest`. */
  readonly isResumable?: boolean
  /** The bytes from `offset` on. May be asked again after a failure. */
  open(offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>
}

export interface StoredLayer {
  readonly diffId: Digest
  /** Digest of the bytes as they arrived. */
  readonly digest: Digest
  /** Bytes of the uncompressed tar. */
  readonly sizeBytes: number
  /** Bytes as they arrived. */
  readonly transferBytes: number
}

/** `verifying`: all bytes have arrived and the rest of the checks runs. */
export type OnIngest = (state: 'downloading' | 'verifying', bytes: number) => void

/** A stored blob, open for reading at any place. */
export interface BlobReader extends AsyncDisposable {
  readonly sizeBytes: number
  /** @throws {AppError} `internal` when the blob is shorter than the range */
  read(offset: number, length: number): Promise<Uint8Array>
  /** Bytes `from` (inclusive) to `to` (exclusive), in pieces of up to 1 MiB. */
  stream(from: number, to: number, signal?: AbortSignal): AsyncIterable<Uint8Array>
}

/** Uncompressed layers by diff id, each with its index. */
export interface BlobStore {
  /** Whether the layer and its index are here. */
  has(diffId: Digest): Promise<boolean>
  /** @throws {AppError} `not_found` */
  sizeBytes(diffId: Digest): Promise<number>
  /** Layers will come soon: what takes them in is made ready beside what is still to be asked about them. */
  expectLayers(): void
  /**
   * Takes a layer in: fetches, hashes, decompresses, indexes, writes. Nothing is visible until digest, size, diff id and
   * index are good.
   * @throws {AppError} `invalid` when the bytes are not what they must be; the error of the source when that fails
   */
  ingest(source: LayerSource, onIngest: OnIngest, signal: AbortSignal): Promise<StoredLayer>
  /** @throws {AppError} `not_found`; `internal` when it is damaged */
  index(diffId: Digest): Promise<LayerIndex>
  /**
   * The digests of the blocks of the layer's files, which are made while it comes in; where they are lost, made again of the layer.
   * @throws {AppError} `not_found`; `internal` when the layer is damaged
   */
  leaves(diffId: Digest): Promise<LeafTable>
  /** @throws {AppError} `not_found` */
  open(diffId: Digest): Promise<BlobReader>
  /** Bytes `from` to `to` of a projection. @throws {AppError} `not_found` or `internal` when a blob is missing or short */
  readExtents(extents: readonly Extent[], from: number, to: number, signal?: AbortSignal): AsyncIterable<Uint8Array>
  /** Where the bytes of a layer lie, for threads that open them themselves. */
  path(diffId: Digest): string
  list(): Promise<readonly Digest[]>
  /** Does nothing where there is none. */
  remove(diffId: Digest): Promise<void>
}

/** The documents of an image as they are stored, not looked into. */
export interface StoredDocuments {
  readonly id: Digest
  readonly manifestDigest: Digest
  readonly manifestBytes: Uint8Array
  readonly configBytes: Uint8Array
  readonly repoDigests: readonly string[]
}

/** The records of images. Each method is one transaction. @throws {AppError} internal when a record is damaged */
export interface ImageStore {
  /** All, newest first. */
  list(): Promise<readonly ImageRecord[]>
  get(imageId: Digest): Promise<ImageRecord | undefined>
  /** By a tag in full, e.g. `docker.io/library/debian:12`. */
  byReference(reference: string): Promise<ImageRecord | undefined>
  /** By `registry/repository@digest`. Several images when the digest is that of an index. */
  byRepoDigest(repoDigest: string): Promise<readonly ImageRecord[]>
  /** Ids whose hexadecimal part starts so; at most `limit`. */
  idsStartingWith(hex: string, limit: number): Promise<readonly Digest[]>
  /** Writes the image. Its references leave the images that had them; references and repo digests it already has stay. */
  put(image: ImageRecord): Promise<void>
  /** Gives the image a reference, taking it from the image that had it. */
  tag(imageId: Digest, reference: string): Promise<void>
  /** Whether there was such a reference. */
  untag(reference: string): Promise<boolean>
  remove(imageId: Digest): Promise<void>
  /** Of all images, damaged ones too. */
  documents(): Promise<readonly StoredDocuments[]>
  /** Replaces those of an image. */
  putDocuments(
    imageId: Digest,
    documents: Pick<StoredDocuments, 'manifestDigest' | 'manifestBytes' | 'configBytes'>,
  ): Promise<void>
}

/** How a registry is reached, as the person asking wants it for this pull; what is left out follows the configuration. */
export interface RegistryAccess {
  /** http instead of https. */
  readonly plainHttp?: boolean
  /** TLS certificates are not checked. */
  readonly insecure?: boolean
  /** Certificates of further authorities, PEM. */
  readonly ca?: string
  readonly credentials?: { readonly username: string; readonly password: string }
}

/** A repository of a registry, as parseReference gives it. */
export interface RepositoryName {
  readonly registry: string
  readonly repository: string
}

export interface FetchedManifest {
  /** What it came as; undefined where nobody said. */
  readonly mediaType: string | undefined
  readonly digest: Digest
  readonly bytes: Uint8Array
}

/** A docker v2 / OCI distribution registry. Digests are verified by it for manifests and small blobs. */
export interface RegistryPort {
  /**
   * @param reference tag or digest
   * @throws {AppError} not_found, unauthorized, forbidden, unreachable, timeout, bad_peer
   */
  manifest(
    name: RepositoryName,
    reference: string,
    access: RegistryAccess,
    signal: AbortSignal,
  ): Promise<FetchedManifest>
  /** A small blob, whole, verified. @throws as `manifest` */
  blob(
    name: RepositoryName,
    blob: { readonly digest: Digest; readonly size: number },
    access: RegistryAccess,
    signal: AbortSignal,
  ): Promise<Uint8Array>
  /** A blob's bytes from `offset` on, going on by itself after a broken connection. Its digest is not verified here. */
  stream(
    name: RepositoryName,
    blob: { readonly digest: Digest; readonly size: number },
    offset: number,
    access: RegistryAccess,
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array>
}

/** Named files that make up an image: a directory, or the inside of an archive. */
export interface ImageFiles {
  /** Undefined where there is no such regular file. */
  sizeBytes(name: string): Promise<number | undefined>
  stream(name: string, offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>
}

/** What a person can import from. */
export interface ImportPort {
  /**
   * @param source a path, or an http(s) URL
   * @throws {AppError} not_found, invalid, unreachable
   */
  open(
    source: string,
    signal: AbortSignal,
  ): Promise<
    { readonly kind: 'directory'; readonly files: ImageFiles } | { readonly kind: 'file'; readonly layer: LayerSource }
  >
}

/** The containers that were made of an image. */
export type ImageUsers = (imageId: Digest) => Promise<readonly ImageUser[]>

export interface ImageUser {
  /** Name of the container. */
  readonly name: string
  /** Whether its machine may still need the image. */
  readonly isLive: boolean
}

/** Layers that others than images hold on to, e.g. a kit. */
export type KeptLayers = () => Promise<Iterable<Digest>>
