/** Packages as trees of files, fetched once each, and the shared libraries that programs in them need. */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { AppError } from '../../base/errors.ts'
import { parseDeb } from '../../formats/deb/deb.ts'
import { isElf, parseElf } from '../../formats/elf/elf.ts'
import { createTarIndexer } from '../../formats/tar/indexer.ts'
import type { LayerEntry } from '../../formats/tar/layer-index.ts'
import type { Inflate, PackageInfo, PackageSource } from './ports.ts'

export interface PackageTree {
  readonly info: PackageInfo
  readonly entries: ReadonlyMap<string, LayerEntry>
  /** The unpacked tar, which the entries point into. */
  readonly tar: Uint8Array
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
    const tar = await unpackData(data.compression, data.bytes, inflateXz, signal)
    const indexer = createTarIndexer()
    indexer.push(tar)
    return { info, tar, entries: new Map(indexer.end().entries.map((entry) => [entry.path, entry])) }
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
  const entry = tree.entries.get(path)
  if (entry?.kind === 'file') return dataOf(entry, tree.tar)
  if (entry?.kind === 'hardlink' && depth < 8) return fileOf(tree, entry.target, depth + 1)
  if (entry?.kind === 'symlink' && depth < 8) {
    const parts = entry.target.startsWith('/') ? [] : path.split('/').slice(0, -1)
    for (const part of entry.target.split('/'))
      if (part === '..') parts.pop()
      else if (part !== '' && part !== '.') parts.push(part)
    return fileOf(tree, parts.join('/'), depth + 1)
  }
  throw new AppError('not_found', `Cannot build a kit: package "${tree.info.name}" has no file "${path}"`)
}

/** A view on the tar where the data lies in one piece; a sparse file is put together. */
function dataOf({ size, data }: LayerEntry, tar: Uint8Array): Uint8Array {
  const [run] = data
  if (data.length === 1 && run!.length === size) return tar.subarray(run!.offset, run!.offset + size)
  const bytes = new Uint8Array(size)
  for (const { at, offset, length } of data) bytes.set(tar.subarray(offset, offset + length), at)
  return bytes
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
  for (const [path, { kind }] of tree.entries)
    if (baseName(path) === soname && /(^|\/)lib(64)?\//.test(path) && kind !== 'directory') return fileOf(tree, path)
  return undefined
}

function squeeze(name: string): string {
  return name.replaceAll(/[^a-z0-9]/g, '')
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
