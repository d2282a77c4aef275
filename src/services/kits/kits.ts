/**
 * The kits of a site: directories under their digest, which is the sha256 of their manifest, which in turn has the sha256 of
 * every file. A kit appears whole (written aside, synced, renamed) or not at all.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { AppError, systemCode } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import {
  buildKit,
  inputsDigest,
  sha256,
  type BuildProgress,
  type BuiltKit,
  type KitManifest,
  type KitRecipe,
} from './build.ts'
import type { Inflate, PackageSource } from './ports.ts'

export interface Kit {
  /** `sha256:…` of the manifest. */
  readonly digest: string
  readonly manifest: KitManifest
  readonly kernelPath: string
  readonly initrdPath: string
  /** Name, e.g. `snponly.efi`, to path. */
  readonly ipxe: ReadonlyMap<string, string>
}

export interface KitsDeps {
  readonly directory: string
  readonly log: Log
  readonly source: PackageSource
  readonly inflateXz: Inflate
  readonly architecture?: string
  readonly download?: (url: string, signal?: AbortSignal) => Promise<AsyncIterable<Uint8Array>>
}

export interface BuildOptions extends Partial<KitRecipe> {
  /** Builds even where a kit of the same inputs is there; the digest is the same. */
  readonly force?: boolean
}

/** Larger kernels and initrds are a mistake, or an attack on the disk. */
const IMPORT_MAX_BYTES = 2 ** 31
const NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$/
const DEFAULTS: KitRecipe = { flavour: 'full', initrdCompression: 'none', moduleCompression: 'xz' }

export function createKits(deps: KitsDeps) {
  const { directory, log, architecture = 'amd64', download = downloadByFetch } = deps
  const buildDeps = { source: deps.source, inflateXz: deps.inflateXz, architecture }

  async function read(hex: string): Promise<Kit | undefined> {
    const path = join(directory, hex)
    try {
      const bytes = await readFile(join(path, 'manifest.json'))
      if (sha256(bytes) !== hex)
        throw new AppError('internal', `Cannot open kit "${hex.slice(0, 12)}": its manifest was changed`)
      const manifest = JSON.parse(bytes.toString('utf8')) as KitManifest
      const ipxe = Object.keys(manifest.files).filter((name) => name.startsWith('ipxe/'))
      return {
        digest: `sha256:${hex}`,
        manifest,
        kernelPath: join(path, 'kernel'),
        initrdPath: join(path, 'initrd'),
        ipxe: new Map(ipxe.map((name) => [name.slice('ipxe/'.length), join(path, name)])),
      }
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined
      throw error
    }
  }

  async function list(): Promise<Kit[]> {
    const names = await readdir(directory).catch(orEmpty)
    const kits = await Promise.all(names.filter((name) => /^[0-9a-f]{64}$/.test(name)).map(read))
    return kits.filter((kit) => kit !== undefined)
  }

  /** @param ref `default`, a digest, or at least 6 digits from its start  @throws {AppError} not_found, invalid */
  async function openKit(ref = 'default'): Promise<Kit> {
    const hex = ref === 'default' ? await readDefault() : ref.replace(/^sha256:/, '')
    if (hex === undefined)
      throw new AppError('not_found', 'Cannot open the default kit: none was built; "bareboat kit build" builds one')
    if (!/^[0-9a-f]{6,64}$/.test(hex)) throw new AppError('invalid', `Cannot open kit "${ref}": it is no digest`)
    const found = (await list()).filter((kit) => kit.digest.startsWith(`sha256:${hex}`))
    if (found.length === 0) throw new AppError('not_found', `Cannot open kit "${ref}": there is no such kit`)
    if (found.length > 1) throw new AppError('invalid', `Cannot open kit "${ref}": ${found.length} kits start so`)
    return found[0]!
  }

  async function readDefault(): Promise<string | undefined> {
    const text = await readFile(join(directory, 'default'), 'utf8').catch(orUndefined)
    return text?.trim()
  }

  async function write(built: BuiltKit): Promise<string> {
    const manifest = new TextEncoder().encode(`${JSON.stringify(built.manifest, null, 2)}\n`)
    const hex = sha256(manifest)
    const aside = join(directory, `.tmp-${randomUUID()}`)
    try {
      for (const [name, bytes] of built.files) await writeSynced(join(aside, name), [bytes])
      await writeSynced(join(aside, 'manifest.json'), [manifest])
      for (const folder of new Set([...built.files.keys()].map(dirname))) await syncDirectory(join(aside, folder))
      await rename(aside, join(directory, hex)).catch((error: unknown) => {
        // Someone wrote the same kit meanwhile: the same digest is the same bytes.
        if (systemCode(error) !== 'ENOTEMPTY' && systemCode(error) !== 'EEXIST') throw error
      })
      await syncDirectory(directory)
    } finally {
      await rm(aside, { recursive: true, force: true })
    }
    return hex
  }

  async function setDefault(hex: string): Promise<void> {
    await replaceFile(join(directory, 'default'), [new TextEncoder().encode(`${hex}\n`)])
  }

  async function importFile(
    kind: 'kernels' | 'initrds',
    name: string,
    from: string,
    signal?: AbortSignal,
  ): Promise<string> {
    if (!NAME.test(name))
      throw new AppError('invalid', `Cannot import "${name}": a name is letters, digits and . _ + -, at most 128 long`)
    const source = /^https?:\/\//.test(from) ? await download(from, signal) : await openToImport(from)
    const path = join(directory, 'imports', kind, name)
    await replaceFile(path, bounded(source, from))
    log.info('boot file imported', { kind, name })
    return path
  }

  return {
    list,
    open: openKit,
    inspect: openKit,

    /** Builds from the packages that the archive has now and makes it the default. Built already: nothing is done. */
    async build(options: BuildOptions = {}, progress: BuildProgress = () => {}, signal?: AbortSignal): Promise<Kit> {
      const { force = false, ...given } = options
      const recipe: KitRecipe = {
        flavour: given.flavour ?? DEFAULTS.flavour,
        initrdCompression: given.initrdCompression ?? DEFAULTS.initrdCompression,
        moduleCompression: given.moduleCompression ?? DEFAULTS.moduleCompression,
      }
      await mkdir(directory, { recursive: true })
      const startedMs = performance.now()
      const inputs = await inputsDigest(buildDeps, recipe, signal)
      const same = force ? undefined : (await list()).find((kit) => kit.manifest.inputs === inputs)
      const hex =
        same?.digest.slice('sha256:'.length) ??
        (await write(await buildKit(buildDeps, recipe, inputs, progress, signal)))
      await setDefault(hex)
      log.info('kit built', {
        digest: hex,
        reused: same !== undefined,
        tookMs: Math.round(performance.now() - startedMs),
      })
      return openKit(hex)
    },

    /** @throws {AppError} not_found; a kit that a machine boots from must not be removed: the caller knows */
    async remove(ref: string): Promise<void> {
      const kit = await openKit(ref)
      const hex = kit.digest.slice('sha256:'.length)
      if ((await readDefault()) === hex) await rm(join(directory, 'default'), { force: true })
      await rm(join(directory, hex), { recursive: true })
    },

    importKernel: (name: string, from: string, signal?: AbortSignal) => importFile('kernels', name, from, signal),
    importInitrd: (name: string, from: string, signal?: AbortSignal) => importFile('initrds', name, from, signal),

    /** The path of an imported kernel or initrd. @throws {AppError} not_found, invalid */
    async imported(kind: 'kernels' | 'initrds', name: string): Promise<string> {
      const path = join(directory, 'imports', kind, name)
      if (!NAME.test(name) || !(await stat(path).catch(orUndefined)))
        throw new AppError('not_found', `Cannot find "${name}": nothing of that name was imported`)
      return path
    },
  }
}
export type Kits = ReturnType<typeof createKits>

async function* bounded(source: AsyncIterable<Uint8Array>, from: string): AsyncIterable<Uint8Array> {
  let sizeBytes = 0
  for await (const chunk of source) {
    sizeBytes += chunk.length
    if (sizeBytes > IMPORT_MAX_BYTES)
      throw new AppError('invalid', `Cannot import "${from}": it is larger than ${IMPORT_MAX_BYTES} bytes`)
    yield chunk
  }
  if (sizeBytes === 0) throw new AppError('invalid', `Cannot import "${from}": it is empty`)
}

async function replaceFile(path: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
  const aside = join(dirname(path), `.tmp-${randomUUID()}`)
  try {
    await writeSynced(aside, chunks)
    await rename(aside, path)
    await syncDirectory(dirname(path))
  } catch (error) {
    await rm(aside, { force: true })
    throw error
  }
}

async function writeSynced(path: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await using file = await open(path, 'wx', 0o644)
  for await (const chunk of chunks) await file.writeFile(chunk)
  await file.sync()
}

async function syncDirectory(path: string): Promise<void> {
  await using handle = await open(path, 'r')
  await handle.sync()
}

async function openToImport(from: string): Promise<AsyncIterable<Uint8Array>> {
  const file = await open(from).catch((cause: unknown) => {
    if (systemCode(cause) !== 'ENOENT') throw cause
    throw new AppError('not_found', `Cannot import "${from}": there is no such file`, { cause })
  })
  return file.createReadStream()
}

async function downloadByFetch(url: string, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const answer = await fetch(url, signal ? { signal } : {}).catch((cause: unknown) => {
    throw new AppError('unreachable', `Cannot import "${url}": no answer`, { cause })
  })
  if (!answer.ok || !answer.body)
    throw new AppError('bad_peer', `Cannot import "${url}": the server answered ${answer.status}`)
  return Readable.fromWeb(answer.body)
}

function orUndefined(error: unknown): undefined {
  if (systemCode(error) !== 'ENOENT') throw error
}

function orEmpty(error: unknown): string[] {
  if (systemCode(error) !== 'ENOENT') throw error
  return []
}
