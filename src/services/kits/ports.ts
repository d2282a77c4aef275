/** What kits need of the outside: a Debian archive, a place to keep kits, the guest's scripts, a decompressor that Node has not. */
import type { CpioEntry } from '../../formats/cpio/archive.ts'

export interface PackageInfo {
  readonly name: string
  readonly version: string
  readonly architecture: string
  /** Of the `.deb`, lower-case hexadecimal, as the signed index says. */
  readonly sha256: string
  readonly sizeBytes: number
  /** Pre-Depends and Depends, of alternatives the first. */
  readonly depends: readonly string[]
}

/** The packages of one architecture; drivers/debian. */
export interface PackageSource {
  /** What the archive holds now under these names, in their order. @throws {AppError} not_found, unreachable */
  describe(names: readonly string[], signal?: AbortSignal): Promise<PackageInfo[]>
  /** The `.deb`, its sha256 checked. @throws {AppError} unreachable, bad_peer */
  fetch(info: PackageInfo, signal?: AbortSignal): Promise<Uint8Array>
}

export type Inflate = (bytes: Uint8Array, signal?: AbortSignal) => Promise<Uint8Array>

/** One of our own scripts, by its path in the initrd. */
export type GuestFile = Extract<CpioEntry, { kind: 'file' }>

/** A kernel or initrd of the site's own, by a path or an http(s) URL. @throws {AppError} not_found, unreachable, bad_peer */
export type OpenBootFile = (from: string, signal?: AbortSignal) => Promise<AsyncIterable<Uint8Array>>

export type BootFileKind = 'kernel' | 'initrd'

/** A kernel or initrd that a site brought itself. */
export interface ImportedBootFile {
  readonly name: string
  readonly kind: BootFileKind
  /** `sha256:…` */
  readonly digest: string
  readonly sizeBytes: number
  /** Milliseconds since the epoch. */
  readonly createdAt: number
}

export interface KeptKit {
  /** Hexadecimal; the name that it was put under. */
  readonly hex: string
  /** As it was put; whether it is what its name says is for the reader to check. */
  readonly manifest: Uint8Array
  /** Milliseconds since the epoch. */
  readonly createdAt: number
}

/**
 * Where kits and imported files lie; drivers/kits. What was put is durable when the promise resolves, and there whole or not at
 * all whatever happens before. Names are checked by the service: they are safe as names of files.
 */
export interface KitStore {
  list(): Promise<KeptKit[]>
  /** The path of one of a kit's files. */
  pathOf(hex: string, file: string): string
  /** The digest of one of its files as it is now, lower-case hexadecimal; undefined where there is none. */
  sha256Of(
    hex: string,
    file: string,
    options: { readonly bytesPerSecond?: number; readonly signal?: AbortSignal },
  ): Promise<string | undefined>
  /** @param files by path relative to the kit; its manifest is `manifest.json` */
  put(hex: string, files: ReadonlyMap<string, Uint8Array>): Promise<void>
  remove(hex: string): Promise<void>
  /** The kit that machines of an architecture boot unless told otherwise. */
  readDefault(architecture: string): Promise<string | undefined>
  setDefault(architecture: string, hex: string | undefined): Promise<void>

  listImports(): Promise<ImportedBootFile[]>
  /** The path of an imported file, where there is one. */
  importedPath(kind: BootFileKind, name: string): Promise<string | undefined>
  /** Replaces what has the name. */
  putImport(kind: BootFileKind, name: string, chunks: AsyncIterable<Uint8Array>): Promise<void>
  removeImport(kind: BootFileKind, name: string): Promise<void>
}
