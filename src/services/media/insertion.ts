/**
 * A medium on its way into a drive, and out of it. What is to be done is written before the BMC is asked, and it is done when the BMC shows it.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import type { Now } from '../../base/clock.ts'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Extent } from '../../formats/extents.ts'
import type { NewEvent } from '../../model/event.ts'
import type { AttachOptions, MediaOptions } from '../../model/media.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { BmcDrive, BmcMedia, Medium } from '../power/power-port.ts'
import type { PowerService } from '../power/power.ts'
import { chooseDrive, fileNameOf, kindsFor } from './choose.ts'
import type { MadeOf, Media } from './media.ts'
import type { AttachedSource, Attachment, AttachmentStore, MediumFiles } from './ports.ts'
import { createServed, fileMedium, readableOf, type ReadableMedium, type ServedDeps } from './served.ts'

export interface InsertionDeps extends Pick<ServedDeps, 'piecesOf' | 'fileContent'> {
  readonly log: Log
  readonly store: AttachmentStore
  readonly files: MediumFiles
  readonly media: Pick<Media, 'make'>
  readonly power: Pick<PowerService, 'portOf'>
  /** The bytes of extents whose blobs are paths. */
  readonly read: (extents: readonly Extent[], signal: AbortSignal) => AsyncIterable<Uint8Array>
  /** Where BMCs reach the HTTP server; undefined where there is none. */
  readonly url: string | undefined
  readonly now: Now
}

/** What is to be attached: a file that was sent, or what is made here. */
export type Attached =
  | { readonly upload: string; readonly fileName: string }
  | { readonly made: MadeOf; readonly options: MediaOptions; readonly of: string }

export type Insertion = ReturnType<typeof createInsertion>

/** How long an insertion may take before its outcome is called unknown: PiKVM takes a whole image first, milliseconds. */
const INSERT_DEADLINE_MS = 3_600_000
const BMC_DEADLINE_MS = 120_000

export function createInsertion(deps: InsertionDeps) {
  const { log, store, files, power, now } = deps
  const served = createServed(deps)
  const shutdown = new AbortController()
  /** What is being done to the medium of a machine, one thing after the other. */
  const busy = new Map<string, Promise<unknown>>()

  const within = (ms: number = BMC_DEADLINE_MS): AbortSignal =>
    AbortSignal.any([AbortSignal.timeout(ms), shutdown.signal])

  function inTurn<T>(machineId: string, work: () => Promise<T>): Promise<T> {
    const mine = (busy.get(machineId) ?? Promise.resolve()).then(work, work)
    busy.set(machineId, mine)
    const done = (): void => void (busy.get(machineId) === mine && busy.delete(machineId))
    mine.then(done, done)
    return mine
  }

  /** @throws {AppError} unsupported, saying what the machine's BMC can do; invalid where it has none */
  async function mediaOf(machine: StoredMachine): Promise<BmcMedia> {
    const { media, can } = await power.portOf(machine)
    if (media) return media
    throw new AppError(
      'unsupported',
      `Cannot attach a medium to "${machine.name}": its BMC can only ${[...can].join(', ')}`,
    )
  }

  function mediumOf(attachment: Attachment, readable: Pick<ReadableMedium, 'extents'>): Medium {
    const { token, name, kind, sizeBytes, isWritable } = attachment
    return {
      kind,
      name,
      sizeBytes,
      isWritable,
      secret: token,
      url: deps.url === undefined ? undefined : `${deps.url}/media/${token}/${name}`,
      read: (signal) => deps.read(readable.extents, signal),
    }
  }

  /** Makes what is to be attached, under the id of the medium. */
  async function prepare(
    id: string,
    what: Attached,
  ): Promise<{ readable: ReadableMedium; source: AttachedSource; of: string }> {
    if ('upload' in what) {
      const { path } = await files.adopt(id, what.upload)
      return {
        readable: fileMedium(await deps.fileContent(path), id),
        source: { file: what.fileName },
        of: what.fileName,
      }
    }
    const { medium, kit, of } = await deps.media.make(what.made, what.options, within())
    return { readable: readableOf(medium), source: { made: of, options: what.options, kit }, of: what.of }
  }

  async function begin(
    machine: StoredMachine,
    what: Attached,
    options: AttachOptions,
    containerId: string | undefined,
  ): Promise<{ attachment: Attachment; medium: Medium }> {
    const media = await mediaOf(machine)
    const id = randomUUID()
    const isIso = 'upload' in what ? /\.iso$/i.test(what.fileName) : what.options.format === 'iso'
    const kinds = options.kind === undefined ? kindsFor(isIso, 'made' in what) : [options.kind]
    const { drive, kind } = chooseDrive(await media.drives(within()), kinds, options.drive, machine.name)
    try {
      const { readable, source, of } = await prepare(id, what)
      served.hold(id, readable)
      const attachment: Attachment = {
        id,
        machineId: machine.id,
        ...(containerId === undefined ? {} : { containerId }),
        token: randomBytes(32).toString('base64url'),
        source,
        of,
        name: fileNameOf('upload' in what ? what.fileName : of, isIso),
        drive: drive.id,
        kind,
        isWritable: options.isWritable,
        sizeBytes: readable.sizeBytes,
        etag: readable.etag,
        state: 'attaching',
        createdAt: now(),
        expiresAt: now() + options.expiresSeconds * 1000,
      }
      await store.begin(attachment)
      return { attachment, medium: mediumOf(attachment, readable) }
    } catch (error) {
      await forget(id)
      throw error
    }
  }

  /** Puts a medium into its drive; one that does not show there is nowhere. */
  async function insert(machine: StoredMachine, attachment: Attachment, medium: Medium): Promise<void> {
    const media = await mediaOf(machine)
    try {
      await media.insert(attachment.drive, medium, within(INSERT_DEADLINE_MS))
    } catch (error) {
      // The next daemon looks what became of it.
      shutdown.signal.throwIfAborted()
      await takeOut(machine, attachment, explain(error)).catch(() => {})
      throw error
    }
    await store.patch(attachment.id, { state: 'attached' }, eventOf(machine, attachment, 'media-attach'))
    log.info('medium attached', { machine: machine.name, drive: attachment.drive, medium: attachment.name })
  }

  /** Takes our medium out of its drive, and lets go of it. From the first step on, its URL opens nothing. */
  async function takeOut(machine: StoredMachine, attachment: Attachment, cause?: string): Promise<void> {
    await store.patch(attachment.id, { state: 'detaching' })
    const media = await mediaOf(machine)
    const signal = within()
    const drive = (await media.drives(signal)).find(({ id }) => id === attachment.drive)
    if (drive && isOurs(media, drive, attachment))
      await media.eject(drive.id, signal).catch((error: unknown) => {
        throw withoutToken(error, attachment)
      })
    await store.end(attachment.id, eventOf(machine, attachment, 'media-detach', cause === undefined ? {} : { cause }))
    await forget(attachment.id)
    log.info('medium detached', { machine: machine.name, drive: attachment.drive, medium: attachment.name, cause })
  }

  async function forget(id: string): Promise<void> {
    await served.drop(id)
    await files.remove(id)
  }

  return {
    served,
    within,
    inTurn,
    mediaOf,
    begin,
    insert,
    takeOut,
    mediumOf,
    /** Lets go of what is being asked of BMCs; the next daemon looks what became of it. */
    end: (reason: unknown): void => shutdown.abort(reason),
    signal: shutdown.signal,
  }
}

/** A BMC repeats its URLs as it likes. */
function withoutToken(error: unknown, { token }: Attachment): unknown {
  if (!(error instanceof AppError) || !explain(error).includes(token)) return error
  return new AppError(error.code, explain(error).replaceAll(token, '****'))
}

export function isOurs(media: BmcMedia, drive: BmcDrive, { name, token }: Attachment): boolean {
  return media.holds(drive, { name, secret: token })
}

export function eventOf(
  machine: StoredMachine,
  { name, drive, of }: Attachment,
  action: string,
  more: Readonly<Record<string, string>> = {},
): NewEvent {
  const attributes = { medium: name, drive, of, ...more }
  return { kind: 'machine', action, subjectId: machine.id, name: machine.name, source: 'bmc', attributes }
}
