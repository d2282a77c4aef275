/** What exports need of the outside; drivers/export offers it. */

/** What is made of a tar stream. */
export type Packing =
  | { readonly kind: 'gzip' | 'bzip2' | 'zstd' | 'lz4' }
  | {
      readonly kind: 'squashfs'
      /** The root directory, which such a program does not take from the archive. */
      readonly root: {
        readonly mode: number
        readonly uid: number
        readonly gid: number
        readonly mtimeSeconds: number
      }
      /** When the file system says it was made. */
      readonly madeAtSeconds: number
    }

export interface PackerPort {
  /**
   * The same bytes for the same input and version of the packing program.
   * @throws {AppError} unsupported, naming the program that is missing; exhausted; what `input` throws
   */
  pack(packing: Packing, input: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncIterable<Uint8Array>
}
