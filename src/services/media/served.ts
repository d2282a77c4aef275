/** Media as their bytes are served: made anew by a daemon that finds them attached, and the same as they were, or not at all. */
import { createHash } from 'node:crypto'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { cutExtents, sizeOf, type Extent } from '../../formats/extents.ts'
import type { BootFile, FilePiece } from '../boot/boot.ts'
import type { MadeMedium, Media } from './media.ts'
import type { Attachment, MediumFiles } from './ports.ts'

export interface ServedDeps {
  readonly log: Log
  readonly media: Pick<Media, 'make'>
  readonly files: Pick<MediumFiles, 'path'>
  /** Extents whose blobs are paths, as pieces. */
  readonly piecesOf: (extents: readonly Extent[]) => FilePiece[]
  /** The extents of a file. */
  readonly fileContent: (path: string) => Promise<Extent[]>
}

/** A medium that can be read. */
export interface ReadableMedium extends Disposable {
  readonly extents: readonly Extent[]
  readonly sizeBytes: number
  readonly etag: string
}

export type Served = ReturnType<typeof createServed>

const NEVER = new AbortController().signal

export function createServed({ log, media, files, piecesOf, fileContent }: ServedDeps) {
  const held = new Map<string, Promise<ReadableMedium>>()

  async function again({ id, source, etag, name }: Attachment): Promise<ReadableMedium> {
    try {
      const same =
        'file' in source
          ? fileMedium(await fileContent(files.path(id)), id)
          : readableOf((await media.make(source.made, source.options, NEVER, source.kit)).medium)
      if (same.etag === etag) return same
      same[Symbol.dispose]()
      throw new AppError('conflict', `Cannot serve "${name}": it is not what it was`)
    } catch (error) {
      log.error('attached medium cannot be served', { medium: id, error: explain(error) })
      throw error
    }
  }

  /** @throws {AppError} conflict, not_found where it cannot be made again as it was */
  function readable(attachment: Attachment): Promise<ReadableMedium> {
    const { id } = attachment
    let known = held.get(id)
    if (!known) {
      known = again(attachment)
      held.set(id, known)
      known.catch(() => held.delete(id))
    }
    return known
  }

  return {
    hold: (id: string, medium: ReadableMedium): void => void held.set(id, Promise.resolve(medium)),

    readable,

    /** @throws {AppError} as `readable` */
    async file(attachment: Attachment): Promise<BootFile> {
      const { extents, sizeBytes, etag } = await readable(attachment)
      return { sizeBytes, etag, pieces: (from, to) => piecesOf(cutExtents(extents, from, to)) }
    },

    async drop(id: string): Promise<void> {
      const known = held.get(id)
      held.delete(id)
      const medium = await known?.catch(() => undefined)
      medium?.[Symbol.dispose]()
    },
  }
}

/** A medium that was made here; it is let go with this. */
export function readableOf(medium: MadeMedium): ReadableMedium {
  const { extents, sizeBytes } = medium
  return { extents, sizeBytes, etag: layoutDigest(extents), [Symbol.dispose]: () => medium[Symbol.dispose]() }
}

/** A file that was sent: nobody has another one of this id. */
export function fileMedium(extents: readonly Extent[], id: string): ReadableMedium {
  return { extents, sizeBytes: sizeOf(extents), etag: id, [Symbol.dispose]() {} }
}

/** Of what is made here the bytes, of blobs where they lie: those do not change. */
function layoutDigest(extents: readonly Extent[]): string {
  const hash = createHash('sha256')
  for (const extent of extents)
    if (extent.kind === 'bytes') hash.update(`bytes ${extent.bytes.length}\n`).update(extent.bytes)
    else if (extent.kind === 'blob') hash.update(`${extent.blob} ${extent.offset} ${extent.length}\n`)
    else hash.update(`zeros ${extent.length}\n`)
  return hash.digest('hex').slice(0, 32)
}
