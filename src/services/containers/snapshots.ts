/** The root of a running container as it is now: as a file, and as an image. */
import type { Container } from '../../model/container.ts'
import { ROOT_FORMATS, type RootFormatName } from '../../model/export.ts'
import type { RootfsKind } from '../../model/rootfs.ts'
import type { RanWith } from '../images/commit/config.ts'
import { begun, type ExportedImage } from '../images/export/exports.ts'
import type { PackerPort } from '../images/export/ports.ts'
import type { ImageRecord, OnProgress } from '../images/image.ts'
import type { Images } from '../images/images.ts'
import type { Agent } from './agent.ts'
import type { ContainersService } from './containers.ts'
import type { Live } from './live.ts'
import { wholeOutput } from './output.ts'

export interface SnapshotsDeps {
  readonly containers: ContainersService
  readonly agent: Agent
  readonly images: Images
  readonly packer: PackerPort
}

export interface CommitOptions {
  readonly reference?: string
  readonly message?: string
  readonly author?: string
  readonly changes: readonly string[]
}

/** Roots that keep what was written apart from the image. */
const WITH_UPPER: ReadonlySet<RootfsKind> = new Set(['lazy', 'image'])

const PACKINGS = { 'tar.gz': 'gzip', 'tar.bz2': 'bzip2', 'tar.zst': 'zstd', 'tar.lz4': 'lz4' } as const

export type Snapshots = ReturnType<typeof createSnapshots>

export function createSnapshots({ containers, agent, images, packer }: SnapshotsDeps) {
  /** What a command of the agent writes, from its start on. */
  async function* archive(live: Live, command: string, doing: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    await using process = await agent.run(live, [command])
    process.endInput()
    for await (const bytes of wholeOutput(process, doing)) {
      signal.throwIfAborted()
      yield bytes
    }
  }

  return {
    /**
     * A tar of the root, without what is mounted in it, packed as asked for. A workload that writes meanwhile may see some of its
     * files half written.
     * @throws {AppError} not_found, conflict when it does not run, unsupported where a program is missing
     */
    async open(reference: string, format: RootFormatName, signal: AbortSignal): Promise<ExportedImage> {
      const { container, live } = await containers.findLive(reference, 'export')
      const tar = archive(live, 'root-out', `Cannot export container "${container.name}"`, signal)
      const bytes = format === 'tar' ? tar : packer.pack({ kind: PACKINGS[format] }, tar, signal)
      return { mediaType: ROOT_FORMATS[format].mediaType, sizeBytes: undefined, bytes: await begun(bytes) }
    },

    /**
     * An image of the container's image and, as one more layer, what the container has changed. Files that are written for each
     * machine (`/etc/hostname`, `/etc/hosts`, `/etc/resolv.conf`) are not in it.
     * @throws {AppError} as `open` and Images.commit
     */
    async commit(
      reference: string,
      { changes, ...words }: CommitOptions,
      onProgress: OnProgress,
      signal: AbortSignal,
    ): Promise<ImageRecord> {
      const { container, live } = await containers.findLive(reference, 'commit')
      const name = `container "${container.name}"`
      const kind = container.rootfs !== undefined && WITH_UPPER.has(container.rootfs) ? 'upper' : 'root'
      return images.commit(
        {
          ...words,
          changes,
          name,
          base: await images.inspect(container.imageId ?? container.image),
          kind,
          open: (stop) => archive(live, `${kind}-out`, `Cannot commit ${name}`, stop),
          createdBy: container.command.join(' '),
          ran: ranWith(container),
        },
        onProgress,
        signal,
      )
    },
  }
}

function ranWith({ options }: Container): RanWith {
  const { command, entrypoint, env, user, workdir, labels } = options
  return {
    ...(command.length === 0 ? {} : { command }),
    ...(entrypoint === undefined ? {} : { entrypoint }),
    ...(env.length === 0 ? {} : { env: env.filter((pair) => pair.includes('=')) }),
    ...(user === undefined ? {} : { user }),
    ...(workdir === undefined ? {} : { workdir }),
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
  }
}
