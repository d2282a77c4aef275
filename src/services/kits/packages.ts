/** Packages as trees of files, fetched once each, and the shared libraries that programs in them need. */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { AppError } from '../../base/errors.ts'
import { parseDeb } from '../../formats/deb/deb.ts'
import { parseTarMembers, type TarMember } from '../../formats/deb/tar-members.ts'
import { isElf, parseElf } from '../../formats/elf/elf.ts'
import type { Inflate, PackageInfo, PackageSource } from './ports.ts'

export interface PackageTree {
  readonly info: PackageInfo
  readonly members: ReadonlyMap<string, TarMember>
}

/** No package of a kit is larger than the kernel's, about 110 MB unpacked (full flavour, 6.12). */
const UNPACKED_MAX_BYTES = 2 ** 30

export function createPackageTrees(source: PackageSource, inflateXz: Inflate, onFetch: (name: string) => void) {
  const trees = new Map<string, Promise<PackageTree>>()

  async function unpack(name: string, signal?: AbortSignal): Promise<PackageTree> {
    const [info] = await source.describe([name], signal)
    if (!info) throw new AppError('not_found', `Cannot build a kit: the archive has no package "${name}"`)
    onFetch(name)
    const { data } = parseDeb(await source.fetch(info, signal))
    const members = parseTarMembers(await unpackData(data.compression, data.bytes, inflateXz, signal))
    return { info, members: new Map(members.map((member) => [member.path, member])) }
  }

  return {
    tree(name: string, signal?: AbortSignal): Promise<PackageTree> {
      let tree = trees.get(name)
      if (!tree) trees.set(name, (tree = unpack(name, signal)))
      return tree
    },
    /** Every package that was fetched, by name. */
    async fetched(): Promise<PackageInfo[]> {
      const all = await Promise.all(trees.values())
      return all.map(({ info }) => info).toSorted((a, b) => (a.name < b.name ? -1 : 1))
    },
  }
}
export type PackageTrees = ReturnType<typeof createPackageTrees>

async function unpackData(
  compression: string,
  bytes: Uint8Array,
  inflateXz: Inflate,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if (compression === 'none') return bytes
  if (compression === 'gzip') return gunzipSync(bytes, { maxOutputLength: UNPACKED_MAX_BYTES })
  if (compression === 'zstd') return zstdDecompressSync(bytes, { maxOutputLength: UNPACKED_MAX_BYTES })
  return inflateXz(bytes, signal)
}

/** The bytes of a file; symbolic and hard links within the package are followed. @throws {AppError} not_found */
export function fileOf(tree: PackageTree, path: string, depth = 0): Uint8Array {
  const member = tree.members.get(path)
  if (member?.type === 'file') return member.bytes
  if (member?.type === 'hardlink' && depth < 8) return fileOf(tree, member.target.replace(/^\.?\//, ''), depth + 1)
  if (member?.type === 'symlink' && depth < 8) {
    const from = member.target.startsWith('/') ? [] : path.split('/').slice(0, -1)
    const parts: string[] = from
    for (const part of member.target.split('/'))
      if (part === '..') parts.pop()
      else if (part !== '' && part !== '.') parts.push(part)
    return fileOf(tree, parts.join('/'), depth + 1)
  }
  throw new AppError('not_found', `Cannot build a kit: package "${tree.info.name}" has no file "${path}"`)
}

/**
 * The shared libraries that programs need, by soname, and their loader. A library is looked for in the packages that the
 * needing package depends on, those first whose name is like the soname (Debian Policy 8.1 names them so).
 */
export async function sharedLibraries(
  programs: readonly { tree: PackageTree; bytes: Uint8Array }[],
  trees: PackageTrees,
  signal?: AbortSignal,
): Promise<{ libraries: Map<string, Uint8Array>; interpreter: string | undefined }> {
  const libraries = new Map<string, Uint8Array>()
  let interpreter: string | undefined
  const queue = [...programs]
  for (let item = queue.shift(); item; item = queue.shift()) {
    if (!isElf(item.bytes)) continue
    const elf = parseElf(item.bytes)
    interpreter ??= elf.interpreter
    const sonames = elf.interpreter ? [...elf.needed, baseName(elf.interpreter)] : elf.needed
    for (const soname of sonames) {
      if (libraries.has(soname)) continue
      const owner = await findLibrary(soname, item.tree, trees, signal)
      const bytes = libraryIn(owner, soname)!
      libraries.set(soname, bytes)
      queue.push({ tree: owner, bytes })
    }
  }
  return { libraries, interpreter }
}

async function findLibrary(
  soname: string,
  needing: PackageTree,
  trees: PackageTrees,
  signal?: AbortSignal,
): Promise<PackageTree> {
  if (libraryIn(needing, soname)) return needing
  const wanted = soname.startsWith('ld-') ? 'libc6' : squeeze(soname.replace('.so.', ''))
  const likeness = (name: string): number => (squeeze(name) === wanted ? 0 : squeeze(name).startsWith(wanted) ? 1 : 2)
  const candidates = needing.info.depends
    .filter((name) => /^lib|^zlib/.test(name))
    .toSorted((a, b) => likeness(a) - likeness(b) || (a < b ? -1 : 1))
  for (const name of candidates) {
    const tree = await trees.tree(name, signal)
    if (libraryIn(tree, soname)) return tree
  }
  throw new AppError('not_found', `Cannot build a kit: no package that "${needing.info.name}" depends on has ${soname}`)
}

function libraryIn(tree: PackageTree, soname: string): Uint8Array | undefined {
  for (const [path, member] of tree.members)
    if (baseName(path) === soname && /(^|\/)lib(64)?\//.test(path) && member.type !== 'directory')
      return fileOf(tree, path)
  return undefined
}

function squeeze(name: string): string {
  return name.replaceAll(/[^a-z0-9]/g, '')
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
