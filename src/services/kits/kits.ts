/**
 * The kits of a site, each under its digest: the sha256 of its manifest, which in turn has the sha256 of every file. One of
 * them is the default for an architecture. Beside them the kernels and initrds that the site brought itself.
 */
import { AppError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { arch as architectures, type Arch } from '../../model/machine.ts'
import { buildKit, inputsDigest, sha256, type BuildProgress, type KitManifest, type KitRecipe } from './build.ts'
import type {
  BootFileKind,
  GuestFile,
  ImportedBootFile,
  Inflate,
  KeptKit,
  KitStore,
  OpenBootFile,
  PackageSource,
} from './ports.ts'

export interface Kit {
  /** `sha256:…` of the manifest. */
  readonly digest: string
  readonly manifest: KitManifest
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  readonly kernelPath: string
  readonly initrdPath: string
  /** Programs of the agent, a cpio archive in gzip; absent in a kit of an older recipe. */
  readonly agentToolsPath?: string
  /** Name, e.g. `snponly.efi`, to path. */
  readonly ipxe: ReadonlyMap<string, string>
  /** The same of GRUB, e.g. `i386-efi/http.mod`; empty in a kit of an older recipe, and in one for arm64. */
  readonly grub: ReadonlyMap<string, string>
  /** The same of what firmware starts from a medium, e.g. `isolinux.bin`; empty in a kit of an older recipe. */
  readonly media: ReadonlyMap<string, string>
}

export interface KitsDeps {
  readonly log: Log
  readonly store: KitStore
  /** The packages of an architecture. */
  readonly source: (architecture: Arch) => PackageSource
  readonly inflateXz: Inflate
  readonly guestFiles: () => Promise<GuestFile[]>
  readonly openBootFile: OpenBootFile
}

export interface BuildOptions extends Partial<KitRecipe> {
  /** Of the machines that the kit is for; amd64 unless said. */
  readonly architecture?: Arch
  /** Builds even where a kit of the same inputs is there; the digest is the same. */
  readonly force?: boolean
}

/** Larger kernels and initrds are a mistake, or an attack on the disk. */
const IMPORT_MAX_BYTES = 2 ** 31
const NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$/
const DEFAULTS: KitRecipe = { flavour: 'full', initrdCompression: 'none', moduleCompression: 'xz' }

export function createKits({ log, store, source, inflateXz, guestFiles, openBootFile }: KitsDeps) {
  const list = async (): Promise<Kit[]> => (await store.list()).map((kept) => kitOf(kept, store))

  /**
   * @param ref `default`, a digest, or at least 6 digits from its start
   * @param architecture whose default; without it the first that has one
   * @throws {AppError} not_found, invalid
   */
  async function open(ref = 'default', architecture?: string): Promise<Kit> {
    const hex = ref === 'default' ? await readDefault(architecture) : ref.replace(/^sha256:/, '')
    if (!/^[0-9a-f]{6,64}$/.test(hex))
      throw new AppError(
        'invalid',
        `Cannot open kit "${ref}": it is no digest; "bareboat kit ls" shows those of kits, and names of imported kernels and initrds`,
      )
    const found = (await store.list()).filter((kit) => kit.hex.startsWith(hex))
    if (found.length === 0) throw new AppError('not_found', `Cannot open kit "${ref}": there is no such kit`)
    if (found.length > 1) throw new AppError('invalid', `Cannot open kit "${ref}": ${found.length} kits start so`)
    return kitOf(found[0]!, store)
  }

  async function readDefault(architecture?: string): Promise<string> {
    for (const each of architecture === undefined ? architectures.options : [architecture]) {
      const hex = await store.readDefault(each)
      if (hex !== undefined) return hex
    }
    const which = architecture === undefined ? '' : ` for ${architecture}`
    const flag = architecture === undefined || architecture === 'amd64' ? '' : ` --arch ${architecture}`
    throw new AppError(
      'not_found',
      `Cannot open the default kit${which}: none was built; "bareboat kit build${flag}" builds one`,
    )
  }

  async function importFile(kind: BootFileKind, name: string, from: string, signal?: AbortSignal): Promise<void> {
    if (!NAME.test(name))
      throw new AppError('invalid', `Cannot import "${name}": a name is letters, digits and . _ + -, at most 128 long`)
    await store.putImport(kind, name, bounded(await openBootFile(from, signal), from))
    log.info('boot file imported', { kind, name })
  }

  /** The path of an imported kernel or initrd. @throws {AppError} not_found */
  async function imported(kind: BootFileKind, name: string): Promise<string> {
    const path = NAME.test(name) ? await store.importedPath(kind, name) : undefined
    if (path === undefined)
      throw new AppError('not_found', `Cannot find ${kind} "${name}": nothing of that name was imported`)
    return path
  }

  async function faultOf(hex: string, manifest: Uint8Array, options: object): Promise<string | undefined> {
    const { files } = JSON.parse(new TextDecoder().decode(manifest)) as KitManifest
    for (const [name, file] of Object.entries(files)) {
      const actual = await store.sha256Of(hex, name, options)
      if (actual !== file.sha256) return `its ${name} is ${actual === undefined ? 'missing' : 'damaged'}`
    }
    return undefined
  }

  return {
    list,
    open,

    /** Digests of the kits that are some architecture's default. */
    async defaults(): Promise<ReadonlySet<string>> {
      const found = await Promise.all(architectures.options.map((each) => store.readDefault(each)))
      return new Set(found.filter((hex) => hex !== undefined).map((hex) => `sha256:${hex}`))
    },

    /**
     * Reads every file of every kit and holds it against the manifest.
     * @returns what is wrong with those that are not good, in words
     * @throws the signal's reason
     */
    async faults(
      options: { readonly bytesPerSecond?: number; readonly signal?: AbortSignal } = {},
    ): Promise<readonly { readonly digest: string; readonly why: string }[]> {
      const found: { digest: string; why: string }[] = []
      for (const { hex, manifest } of await store.list()) {
        const why = sha256(manifest) === hex ? await faultOf(hex, manifest, options) : 'its manifest was changed'
        if (why !== undefined) found.push({ digest: `sha256:${hex}`, why })
      }
      return found
    },

    /** Builds from the packages that the archive has now and makes it the default. Built already: nothing is done. */
    async build(options: BuildOptions = {}, progress: BuildProgress = () => {}, signal?: AbortSignal): Promise<Kit> {
      const { force = false, architecture = 'amd64', ...given } = options
      const recipe: KitRecipe = {
        flavour: given.flavour ?? DEFAULTS.flavour,
        initrdCompression: given.initrdCompression ?? DEFAULTS.initrdCompression,
        moduleCompression: given.moduleCompression ?? DEFAULTS.moduleCompression,
      }
      const deps = { source: source(architecture), inflateXz, architecture, guest: await guestFiles() }
      const startedMs = performance.now()
      const inputs = await inputsDigest(deps, recipe, signal)
      const same = force ? undefined : (await list()).find((kit) => kit.manifest.inputs === inputs)
      let hex = same?.digest.slice('sha256:'.length)
      if (hex === undefined) {
        const { manifest, files } = await buildKit(deps, recipe, inputs, progress, signal)
        const bytes = new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`)
        hex = sha256(bytes)
        await store.put(hex, new Map([...files, ['manifest.json', bytes]]))
      }
      await store.setDefault(architecture, hex)
      log.info('kit built', {
        digest: hex,
        architecture,
        reused: same !== undefined,
        tookMs: Math.round(performance.now() - startedMs),
      })
      return open(hex)
    },

    /** @throws {AppError} not_found; a kit that a machine boots from must not be removed: the caller knows */
    async remove(ref: string): Promise<void> {
      const { digest, manifest } = await open(ref)
      const hex = digest.slice('sha256:'.length)
      if ((await store.readDefault(manifest.architecture)) === hex)
        await store.setDefault(manifest.architecture, undefined)
      await store.remove(hex)
    },

    imports: {
      list: (): Promise<ImportedBootFile[]> => store.listImports(),
      /** @throws {AppError} not_found */
      async remove(kind: BootFileKind, name: string): Promise<void> {
        await imported(kind, name)
        await store.removeImport(kind, name)
      },
    },
    /** @param from a path or an http(s) URL  @throws {AppError} invalid, not_found, unreachable, bad_peer */
    importFile,
    imported,
  }
}
export type Kits = ReturnType<typeof createKits>

function kitOf({ hex, manifest: bytes, createdAt }: KeptKit, store: KitStore): Kit {
  if (sha256(bytes) !== hex)
    throw new AppError('internal', `Cannot open kit "${hex.slice(0, 12)}": its manifest was changed`)
  const manifest = JSON.parse(new TextDecoder().decode(bytes)) as KitManifest
  const below = (folder: string): ReadonlyMap<string, string> =>
    new Map(
      Object.keys(manifest.files)
        .filter((name) => name.startsWith(folder))
        .map((name) => [name.slice(folder.length), store.pathOf(hex, name)]),
    )
  return {
    digest: `sha256:${hex}`,
    manifest,
    createdAt,
    kernelPath: store.pathOf(hex, 'kernel'),
    initrdPath: store.pathOf(hex, 'initrd'),
    ...(Object.hasOwn(manifest.files, 'agent-tools') ? { agentToolsPath: store.pathOf(hex, 'agent-tools') } : {}),
    ipxe: below('ipxe/'),
    grub: below('grub/'),
    media: below('media/'),
  }
}

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
