/** Where things lie in the directory of a store. Every path is made of a Digest, never of a name from outside. */
import { join } from 'node:path'
import {
  DIGEST_HEX_LENGTH,
  digestParts,
  isDigest,
  type Digest,
  type DigestAlgorithm,
} from '../../formats/oci/digest.ts'

export interface StorePaths {
  readonly root: string
  readonly blobs: string
  /** What is under way: `*.tmp` is of no use after a restart, `*.part` is. */
  readonly incoming: string
}

export const ALGORITHMS = Object.keys(DIGEST_HEX_LENGTH) as DigestAlgorithm[]
const INDEX_SUFFIX = '.index'
const LEAVES_SUFFIX = '.leaves'
const ROTTEN_SUFFIX = '.rotten'
const PART = /^(sha256|sha512)-([0-9a-f]+)\.part$/

export function storePaths(root: string): StorePaths {
  return { root, blobs: join(root, 'blobs'), incoming: join(root, 'incoming') }
}

/** `blobs/sha256/ab/abcd…`. */
export function blobPath(paths: StorePaths, diffId: Digest): string {
  const { algorithm, hex } = digestParts(diffId)
  return join(paths.blobs, algorithm, hex.slice(0, 2), hex)
}

/** The layer's index lies beside it. */
export function indexPath(paths: StorePaths, diffId: Digest): string {
  return blobPath(paths, diffId) + INDEX_SUFFIX
}

/** The digests of the blocks of its files, too. */
export function leavesPath(paths: StorePaths, diffId: Digest): string {
  return blobPath(paths, diffId) + LEAVES_SUFFIX
}

/** Says of the layer beside it that a check found its bytes changed. */
export function rottenPath(paths: StorePaths, diffId: Digest): string {
  return blobPath(paths, diffId) + ROTTEN_SUFFIX
}

/** Compressed bytes of a transfer that is not finished. */
export function partPath(paths: StorePaths, digest: Digest): string {
  const { algorithm, hex } = digestParts(digest)
  return join(paths.incoming, `${algorithm}-${hex}.part`)
}

/** The digest of the transfer that a file of `incoming/` belongs to; undefined for all other files. */
export function digestOfPartFile(name: string): Digest | undefined {
  const [, algorithm, hex] = PART.exec(name) ?? []
  const digest = `${algorithm}:${hex}`
  return isDigest(digest) ? digest : undefined
}

/** The digest that a file of `blobs/ALGORITHM/xx/` is named for; undefined for indexes and strangers. */
export function digestOfFile(algorithm: DigestAlgorithm, name: string): Digest | undefined {
  const digest = `${algorithm}:${name}`
  return isDigest(digest) ? digest : undefined
}

/** The digest of the layer that a file lies beside, e.g. its index; undefined for the layers themselves and strangers. */
export function digestOfSideFile(algorithm: DigestAlgorithm, name: string): Digest | undefined {
  const dot = name.indexOf('.')
  return dot < 0 ? undefined : digestOfFile(algorithm, name.slice(0, dot))
}
