/** The forms in which the files of an image leave it. */

interface ExportFormat {
  readonly mediaType: string
  /** How the names of such files end: the first is what we would give. */
  readonly suffixes: readonly string[]
  readonly means: string
}

export const EXPORT_FORMATS = {
  tar: { mediaType: 'application/x-tar', suffixes: ['.tar'], means: 'the files as one archive' },
  'tar.gz': { mediaType: 'application/gzip', suffixes: ['.tar.gz', '.tgz'], means: 'the same through gzip' },
  'tar.zst': { mediaType: 'application/zstd', suffixes: ['.tar.zst', '.tzst'], means: 'the same through zstd' },
  'tar.lz4': {
    mediaType: 'application/x-lz4',
    suffixes: ['.tar.lz4'],
    means: 'the same through lz4 -9, as metal-stack stores images: .md5, .sha256 and packages.txt are put beside it',
  },
  cpio: { mediaType: 'application/x-cpio', suffixes: ['.cpio'], means: 'an initramfs' },
  squashfs: { mediaType: 'application/vnd.squashfs', suffixes: ['.squashfs', '.sqfs'], means: 'a file system, zstd' },
  erofs: { mediaType: 'application/vnd.erofs', suffixes: ['.erofs'], means: 'a file system, uncompressed' },
  oci: { mediaType: 'application/x-tar', suffixes: ['.oci.tar', '.oci'], means: 'an OCI image layout in a tar' },
  docker: { mediaType: 'application/x-tar', suffixes: ['.docker.tar'], means: 'what docker load takes' },
  dir: { mediaType: 'application/x-tar', suffixes: [], means: 'a directory with the files' },
} as const satisfies Record<string, ExportFormat>

export type ExportFormatName = keyof typeof EXPORT_FORMATS
export const exportFormatNames = Object.keys(EXPORT_FORMATS) as [ExportFormatName, ...ExportFormatName[]]

/** The forms of a container's root as it is now. */
export const ROOT_FORMATS = {
  tar: EXPORT_FORMATS.tar,
  'tar.gz': EXPORT_FORMATS['tar.gz'],
  'tar.bz2': { mediaType: 'application/x-bzip2', suffixes: ['.tar.bz2', '.tbz2'], means: 'the same through bzip2' },
  'tar.zst': EXPORT_FORMATS['tar.zst'],
  'tar.lz4': EXPORT_FORMATS['tar.lz4'],
} as const satisfies Record<string, ExportFormat>

export type RootFormatName = keyof typeof ROOT_FORMATS
export const rootFormatNames = Object.keys(ROOT_FORMATS) as [RootFormatName, ...RootFormatName[]]

/** The format that the name of a file speaks of, by its longest suffix; undefined where it says nothing. */
export function formatOfName<N extends string>(
  formats: Readonly<Record<N, ExportFormat>>,
  fileName: string,
): N | undefined {
  const fits = (Object.keys(formats) as N[]).flatMap((format) =>
    formats[format].suffixes
      .filter((suffix) => fileName.toLowerCase().endsWith(suffix))
      .map((suffix) => ({ format, length: suffix.length })),
  )
  return fits.sort((a, b) => b.length - a.length)[0]?.format
}
