/** What kits need of the outside: a Debian archive, and a decompressor for what Node has none for. */

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

export interface PackageSource {
  /** What the archive holds now under these names, in their order. @throws {AppError} not_found, unreachable */
  describe(names: readonly string[], signal?: AbortSignal): Promise<PackageInfo[]>
  /** The `.deb`, its sha256 checked. @throws {AppError} unreachable, bad_peer */
  fetch(info: PackageInfo, signal?: AbortSignal): Promise<Uint8Array>
}

export type Inflate = (bytes: Uint8Array, signal?: AbortSignal) => Promise<Uint8Array>
