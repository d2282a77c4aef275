/** The face of the image service; see createImages. */
import type { Digest } from '../../formats/oci/digest.ts'
import type { ImageConfig } from '../../formats/oci/image.ts'
import type { Tree } from '../../formats/tree/tree.ts'
import type { CommitRequest } from './commit/commit.ts'
import type { ImageLayer, ImageRecord, OnProgress, TreeChange } from './image.ts'
import type { ImportOptions } from './import.ts'
import type { RegistryAccess } from './ports.ts'
import type { Upkeep } from './upkeep.ts'

/** `missing`: only when it is not here. */
export type PullPolicy = 'missing' | 'always' | 'never'

export interface PullOptions extends RegistryAccess {
  /** Default `missing`. */
  readonly policy?: PullPolicy
  /** `os/architecture[/variant]`; the daemon's default where it is left out. */
  readonly platform?: string
}

export interface RemovedImage {
  readonly untagged: readonly string[]
  /** Image ids whose record is gone. */
  readonly deleted: readonly Digest[]
  /** Layers that no image refers to any more and whose bytes are gone. */
  readonly layers: readonly Digest[]
}

/** What the product does with images. Every `image` is a reference, a repo digest, an id, or the first digits of one. */
export interface Images {
  /**
   * Fetches an image, layers in parallel, each digest once even when several pulls run.
   * @throws {AppError} not_found, unauthorized, unreachable, invalid (malformed or hostile), timeout, interrupted
   */
  pull(reference: string, options?: PullOptions, onProgress?: OnProgress, signal?: AbortSignal): Promise<ImageRecord>
  /**
   * Takes in an OCI layout (directory or tar), a `docker save` archive or a plain rootfs tar, compressed or not.
   * @param source a path or an http(s) URL
   * @returns the images in it, at least one
   */
  import(
    source: string,
    options?: ImportOptions,
    onProgress?: OnProgress,
    signal?: AbortSignal,
  ): Promise<readonly ImageRecord[]>
  /** Makes an image of a container: what it changed as one more layer. @throws {AppError} as commitImage */
  commit(request: CommitRequest, onProgress?: OnProgress, signal?: AbortSignal): Promise<ImageRecord>
  list(): Promise<readonly ImageRecord[]>
  /** @throws {AppError} not_found; invalid when the digits fit several */
  resolve(image: string): Promise<Digest>
  /** @throws {AppError} as `resolve` */
  inspect(image: string): Promise<ImageRecord>
  /** The same, and the tag in full that it was named by; undefined where by a digest or id. */
  named(image: string): Promise<{ readonly record: ImageRecord; readonly tag: string | undefined }>
  /** The layers of the image stay until it is disposed, even if the image goes. */
  keep(imageId: Digest): Promise<Disposable>
  /** As docker's `image rm`: takes a tag away, and the image with its last one. @throws {AppError} conflict when a container uses it */
  remove(image: string, options?: { readonly force?: boolean }): Promise<RemovedImage>
  tag(image: string, reference: string): Promise<void>
  /** The merged tree, kept for the next time. */
  tree(imageId: Digest): Promise<Tree>
  config(imageId: Digest): Promise<ImageConfig>
  layers(imageId: Digest): Promise<readonly ImageLayer[]>
  /** What `b` has otherwise than `a`. */
  diff(a: string, b: string): AsyncIterable<TreeChange>
  /** For the care of the store. */
  readonly upkeep: Upkeep
}
