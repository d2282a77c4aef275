/** The list of files that a container has read or written: `BMCID-atime.out` of the Bare Metal Container manual (seed 002). */

/**
 * One path a line, as `find . -type f -print` writes them, sorted by bytes. A line feed in a name is shown as `\n`, so that each
 * line is one file.
 * @param paths relative to the root
 */
export function renderAccessed(paths: readonly Uint8Array[]): Uint8Array {
  const sorted = paths.toSorted((a, b) => Buffer.compare(a, b))
  return Buffer.concat(sorted.map((path) => Buffer.from(`./${escaped(path)}\n`, 'latin1')))
}

function escaped(path: Uint8Array): string {
  return Buffer.from(path).toString('latin1').replaceAll('\n', '\\n')
}
