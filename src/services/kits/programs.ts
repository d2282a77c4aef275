/** Programs out of packages, with the libraries that they need, as they lie in an initrd. */
import { basename } from 'node:path'
import type { CpioEntry } from '../../formats/cpio/archive.ts'
import { fileOf, sharedLibraries, type PackageTrees } from './packages.ts'

export interface ProgramFiles {
  readonly programs: readonly { readonly name: string; readonly bytes: Uint8Array }[]
  /** By soname, with what they need themselves. */
  readonly libraries: ReadonlyMap<string, Uint8Array>
  /** The path of the dynamic loader, as programs name it. */
  readonly loader: string | undefined
}

/** @throws {AppError} when a package has not the file that is wanted of it, or a library is nowhere */
export async function programFiles(
  trees: PackageTrees,
  wanted: readonly { package: string; from: string }[],
  signal?: AbortSignal,
): Promise<ProgramFiles> {
  const programs = await Promise.all(
    wanted.map(async (program) => {
      const tree = await trees.tree(program.package, signal)
      return { name: basename(program.from), tree, bytes: fileOf(tree, program.from) }
    }),
  )
  const { libraries, interpreter } = await sharedLibraries(programs, trees, signal)
  return { programs, libraries, loader: interpreter }
}

/** Programs and libraries in /tools, under the names by which they are looked for. @param present libraries that are there already */
export function programEntries(
  { programs, libraries, loader }: ProgramFiles,
  present: ReadonlySet<string> = new Set(),
) {
  const own = [...libraries].filter(([soname]) => !present.has(soname))
  const tool = (name: string, bytes: Uint8Array): CpioEntry => ({
    path: `tools/${name}`,
    kind: 'file',
    mode: 0o755,
    bytes,
  })
  return [
    ...programs.map(({ name, bytes }) => tool(name, bytes)),
    ...own.map(([soname, bytes]) => tool(soname, bytes)),
    // The loader's own search path has /lib; programs find their libraries there without a cache.
    ...own
      .filter(([soname]) => loader === undefined || soname !== basename(loader))
      .map(([soname]) => link(`lib/${soname}`, `/tools/${soname}`)),
    ...programs.filter(({ name }) => name !== 'busybox').map(({ name }) => link(`bin/${name}`, `/tools/${name}`)),
  ]
}

/** The dynamic loader where programs look for it. */
export function loaderLinks(loader: string): CpioEntry[] {
  return [link('tools/ld.so', basename(loader)), link(loader.slice(1), `/tools/${basename(loader)}`)]
}

export function link(path: string, target: string): CpioEntry {
  return { kind: 'symlink', path, target }
}
