/**
 * What a layer holds: the entries of its tar in the order of the archive, without the data. Data is named by its place in the
 * uncompressed layer blob, so that every projection can point into the blob. Whiteouts (`.wh.…`) are ordinary entries here;
 * formats/tree gives them their meaning.
 */
import type { ByteString } from './byte-string.ts'

export const LAYER_ENTRY_KINDS = ['file', 'directory', 'symlink', 'hardlink', 'character', 'block', 'fifo'] as const
export type LayerEntryKind = (typeof LAYER_ENTRY_KINDS)[number]

/** `length` bytes of file data: they belong at `at` in the file and lie at `offset` in the layer blob. */
export interface DataRun {
  readonly at: number
  readonly offset: number
  readonly length: number
}

/** One entry of a layer, as the archive says it, names made relative. */
export interface LayerEntry {
  readonly kind: LayerEntryKind
  /** Names joined by `/`: no leading or trailing slash, no empty, `.` or `..` names, no NUL. The root is the empty string. */
  readonly path: ByteString
  /** Permission bits with set-uid, set-gid and sticky: 0..0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Seconds since 1970 (negative before it), rounded down; nanoseconds 0..999,999,999 count forward from there. */
  readonly mtimeSeconds: number
  readonly mtimeNanoseconds: number
  /** Logical size of a file in bytes, holes included; 0 for all other kinds. */
  readonly size: number
  /** A file's data in ascending order, without overlap, within `size`; what no run covers reads as zeros. */
  readonly data: readonly DataRun[]
  /** Symlink: the target as it stands, never interpreted. Hard link: the path it names, in the form of `path`. Else empty. */
  readonly target: ByteString
  /** Of character and block devices; else 0. */
  readonly deviceMajor: number
  readonly deviceMinor: number
  /** Extended attributes, names with their prefix (`security.capability`), values as bytes. */
  readonly xattrs: ReadonlyMap<ByteString, Uint8Array>
}

/**
 * A layer's entries in the order of its archive, and the size of the uncompressed archive that they were read from. Those that
 * the indexer and parseLayerIndex give are packed (packed-index.ts) and make their `entries` anew at each access.
 */
export interface LayerIndex {
  readonly entries: readonly LayerEntry[]
  /** Length in bytes of the uncompressed layer blob. */
  readonly blobBytes: number
}

/** Shared, so that the many entries without data or attributes cost nothing for them. */
export const NO_DATA: readonly DataRun[] = Object.freeze([])
export const NO_XATTRS: ReadonlyMap<ByteString, Uint8Array> = new Map()
