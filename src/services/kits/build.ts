/** Puts a kit together from packages: kernel, initrd, iPXE, loaders of media. Everything in memory; the caller writes it down. */
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { AppError } from '../../base/errors.ts'
import { cpioArchive, type CpioEntry } from '../../formats/cpio/archive.ts'
import { moduleName, parseModule } from '../../formats/elf/modinfo.ts'
import { moduleClosure, moduleIndexes, neededBy, type FoundModule } from './modules.ts'
import type { Arch } from '../../model/machine.ts'
import { createPackageTrees, fileOf, type PackageTree, type PackageTrees } from './packages.ts'
import type { GuestFile, Inflate, PackageInfo, PackageSource } from './ports.ts'
import { link, loaderLinks, programEntries, programFiles } from './programs.ts'
import {
  AGENT_PROGRAMS,
  GRUB_FILES,
  IPXE_FILES,
  kernelPackage,
  MEDIA_LOADERS,
  moduleNames,
  PROGRAMS,
  RECIPE_VERSION,
  SUITE,
  UNPACKED_MODULES,
  type Flavour,
} from './recipe.ts'

/** `none` starts soonest where the network is fast; `zstd` is the smallest. */
export type InitrdCompression = 'none' | 'zstd'
/** How modules lie in the initrd: `xz` as Debian packs them, but for those that most boots wait for (UNPACKED_MODULES). */
export type ModuleCompression = 'none' | 'xz'

export interface KitRecipe {
  readonly flavour: Flavour
  readonly initrdCompression: InitrdCompression
  readonly moduleCompression: ModuleCompression
}

export interface KitManifest {
  readonly recipe: number
  readonly suite: string
  readonly architecture: string
  readonly options: KitRecipe
  readonly kernelRelease: string
  readonly packages: readonly { name: string; version: string; sha256: string }[]
  readonly modules: readonly string[]
  /** Wanted by the recipe, but neither a module nor built in: this flavour's kernel does without. */
  readonly modulesMissing: readonly string[]
  /** Firmware that modules may ask for and that Debian's `main` has not (see package firmware-*, non-free-firmware). */
  readonly firmwareMissing: Readonly<Record<string, readonly string[]>>
  /** sha256 and size of every file beside this manifest. */
  readonly files: Readonly<Record<string, { sha256: string; sizeBytes: number }>>
  /** The digest of what went in: a kit of the same inputs need not be built again. */
  readonly inputs: string
}

export interface BuiltKit {
  readonly manifest: KitManifest
  /** By path relative to the kit, e.g. `ipxe/snponly.efi`. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

export interface BuildDeps {
  readonly source: PackageSource
  readonly inflateXz: Inflate
  readonly architecture: Arch
  readonly guest: readonly GuestFile[]
}

interface KernelModule extends FoundModule {
  readonly bytes: Uint8Array
  readonly packed: Uint8Array
}

export type BuildProgress = (step: string) => void

/** The digest of everything that decides a kit's bytes, without fetching a package. */
export async function inputsDigest(deps: BuildDeps, recipe: KitRecipe, signal?: AbortSignal): Promise<string> {
  const loaders = MEDIA_LOADERS[deps.architecture]
  const grub = GRUB_FILES[deps.architecture]
  const files = [...PROGRAMS, ...AGENT_PROGRAMS, ...loaders, ...Object.values(grub)]
  const programs = new Set(files.map((p) => p.package))
  const names = [kernelPackage(recipe.flavour, deps.architecture), ...programs, 'ipxe']
  const packages: PackageInfo[] = []
  // Libraries come from what these packages depend on; two levels cover every library of a kit.
  let level = names
  for (let depth = 0; depth < 3 && level.length > 0; depth++) {
    const infos = await deps.source.describe(level, signal)
    packages.push(...infos)
    const known = new Set(packages.map((p) => p.name))
    level = [...new Set(infos.flatMap((p) => p.depends))].filter(
      (n) => /^lib|^zlib|^linux-image/.test(n) && !known.has(n),
    )
  }
  const hash = createHash('sha256')
  const lines = packages.map((p) => `${p.name} ${p.sha256}`).toSorted()
  hash.update(
    JSON.stringify([
      RECIPE_VERSION,
      SUITE,
      deps.architecture,
      recipe,
      PROGRAMS,
      AGENT_PROGRAMS,
      IPXE_FILES,
      loaders,
      grub,
      moduleNames(deps.architecture),
      UNPACKED_MODULES,
      lines,
    ]),
  )
  for (const { path, bytes } of deps.guest) hash.update(`${path} ${bytes.length}\n`).update(bytes)
  return hash.digest('hex')
}

/** @throws {AppError} when a package or a file in it is not where the recipe says */
export async function buildKit(
  deps: BuildDeps,
  recipe: KitRecipe,
  inputs: string,
  progress: BuildProgress,
  signal?: AbortSignal,
): Promise<BuiltKit> {
  const trees = createPackageTrees(deps.source, deps.inflateXz, (name) => progress(`package ${name}`))
  const image = await kernelTree(trees, kernelPackage(recipe.flavour, deps.architecture), signal)
  const kernel = kernelOf(image)
  progress(`modules of Linux ${kernel.release}`)
  const wanted = moduleNames(deps.architecture)
  const modules = await kernelModules(image, kernel.release, wanted, deps.inflateXz, signal)
  const tools = await programFiles(trees, PROGRAMS, signal)
  if (!tools.loader) throw new AppError('bad_peer', 'Cannot build a kit: no program in it names a dynamic loader')
  const agentTools = await programFiles(trees, AGENT_PROGRAMS, signal)
  progress('initrd')
  const entries = [
    ...skeletonEntries(),
    ...programEntries(tools),
    ...loaderLinks(tools.loader),
    ...deps.guest,
    ...moduleEntries(image, kernel.release, modules.found, recipe.moduleCompression),
  ]
  const cpio = archive(entries)
  const ipxe = await trees.tree('ipxe', signal)
  const files = new Map<string, Uint8Array>([
    ['kernel', kernel.bytes],
    ['initrd', recipe.initrdCompression === 'zstd' ? packZstd(cpio) : cpio],
    ['agent-tools', packGzip(archive(programEntries(agentTools, new Set(tools.libraries.keys()))))],
    ...IPXE_FILES.map((name) => [`ipxe/${name}`, fileOf(ipxe, `usr/lib/ipxe/${name}`)] as const),
  ])
  for (const { package: name, from } of MEDIA_LOADERS[deps.architecture])
    files.set(`media/${basename(from)}`, fileOf(await trees.tree(name, signal), from))
  for (const [path, { package: name, from }] of Object.entries(GRUB_FILES[deps.architecture]))
    files.set(`grub/${path}`, fileOf(await trees.tree(name, signal), from))
  const packages = (await trees.fetched()).map(({ name, version, sha256 }) => ({ name, version, sha256 }))
  const manifest: KitManifest = {
    recipe: RECIPE_VERSION,
    suite: SUITE,
    architecture: deps.architecture,
    options: recipe,
    kernelRelease: kernel.release,
    packages,
    modules: modules.found.map((m) => m.info.name).toSorted(),
    modulesMissing: modules.missing,
    firmwareMissing: Object.fromEntries(
      modules.found.filter((m) => m.info.firmware.length > 0).map((m) => [m.info.name, m.info.firmware]),
    ),
    files: Object.fromEntries(
      [...files].map(([name, bytes]) => [name, { sha256: sha256(bytes), sizeBytes: bytes.length }]),
    ),
    inputs,
  }
  return { manifest, files }
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

async function kernelTree(trees: PackageTrees, metaPackage: string, signal?: AbortSignal): Promise<PackageTree> {
  const meta = await trees.tree(metaPackage, signal)
  const name = meta.info.depends.find((n) => n.startsWith('linux-image-'))
  if (!name) throw new AppError('bad_peer', `Cannot build a kit: package "${meta.info.name}" names no kernel image`)
  return trees.tree(name, signal)
}

function kernelOf(image: PackageTree): { bytes: Uint8Array; release: string } {
  const path = [...image.entries.keys()].find((p) => p.startsWith('boot/vmlinuz-'))
  if (!path) throw new AppError('bad_peer', `Cannot build a kit: package "${image.info.name}" has no kernel in /boot`)
  return { bytes: fileOf(image, path), release: path.slice('boot/vmlinuz-'.length) }
}

async function kernelModules(
  image: PackageTree,
  release: string,
  wanted: readonly string[],
  inflateXz: Inflate,
  signal?: AbortSignal,
): Promise<{ found: KernelModule[]; missing: string[] }> {
  const root = modulesRoot(image, release)
  const paths = new Map<string, string>()
  for (const path of image.entries.keys()) {
    const name = /\/([^/]+)\.ko(\.xz)?$/.exec(path)?.[1]
    if (name && path.startsWith(root)) paths.set(moduleName(name), path)
  }
  const found = await moduleClosure(wanted, async (name) => {
    const path = paths.get(name)
    if (!path) return undefined
    const packed = fileOf(image, path)
    const bytes = path.endsWith('.xz') ? await inflateXz(packed, signal) : packed
    const plainPath = path.slice(root.length).replace(/\.xz$/, '')
    return { path: plainPath, info: parseModule(bytes), bytes, packed }
  })
  const builtin = new TextDecoder().decode(fileOf(image, `${root}modules.builtin`))
  const builtinNames = new Set([...builtin.matchAll(/([^/\n]+)\.ko$/gm)].map((m) => moduleName(m[1]!)))
  return {
    found,
    missing: wanted.filter((name) => !paths.has(moduleName(name)) && !builtinNames.has(moduleName(name))),
  }
}

function modulesRoot(image: PackageTree, release: string): string {
  const root = `lib/modules/${release}/`
  return image.entries.has(`usr/${root}modules.builtin`) ? `usr/${root}` : root
}

function moduleEntries(
  image: PackageTree,
  release: string,
  modules: readonly KernelModule[],
  compression: ModuleCompression,
): CpioEntry[] {
  const root = `lib/modules/${release}`
  const unpacked = new Set(neededBy(UNPACKED_MODULES.split(' '), modules))
  const stored = modules.map((m) =>
    compression === 'none' || unpacked.has(m)
      ? { ...m, stored: m.bytes }
      : { ...m, path: `${m.path}.xz`, stored: m.packed },
  )
  const file = (name: string, bytes: Uint8Array): CpioEntry => ({
    path: `${root}/${name}`,
    kind: 'file',
    mode: 0o644,
    bytes,
  })
  const source = modulesRoot(image, release)
  return [
    ...stored.map((m) => file(m.path, m.stored)),
    ...[...moduleIndexes(stored)].map(([name, text]) => file(name, new TextEncoder().encode(text))),
    file('modules.builtin', fileOf(image, `${source}modules.builtin`)),
  ]
}

/** What must stand before the first mount: the console for init's own messages, and the shell under its usual names. */
function skeletonEntries(): CpioEntry[] {
  return [
    ...['proc', 'sys', 'dev', 'run', 'tmp', 'bb', 'sysroot', 'root', 'etc'].map((path) => directory(path)),
    { kind: 'character', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    ...['bin/busybox', 'bin/sh', 'sbin/modprobe'].map((path) => link(path, '/tools/busybox')),
  ]
}

function directory(path: string): CpioEntry {
  return { kind: 'directory', path }
}

function archive(entries: readonly CpioEntry[]): Uint8Array {
  return cpioArchive(entries.toSorted((a, b) => (a.path < b.path ? -1 : 1)))
}

/** Which busybox unpacks. */
function packGzip(bytes: Uint8Array): Uint8Array {
  return gzipSync(bytes, { level: 9 })
}

/** Level 19: a kit is packed once and unpacked at every boot. */
function packZstd(bytes: Uint8Array): Uint8Array {
  return zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 19 } })
}
