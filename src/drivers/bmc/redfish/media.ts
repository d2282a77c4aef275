/**
 * Virtual media of a Redfish service (DSP0266 §7, DSP0268 VirtualMedia): InsertMedia and EjectMedia, or the properties of services that have no actions
 * (Lenovo XCC, HPE iLO 4). Which parameters a service knows, and which it wants, is learnt from its refusals. Done means that the drive shows it.
 */
import { sleep } from '../../../base/clock.ts'
import { AppError, explain } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { BmcDrive, BmcMedia, Medium } from '../../../services/power/power-port.ts'
import type { RedfishAnswer, RedfishClient } from './client.ts'
import { readDrive, readDrives, type RedfishDrive } from './drives.ts'
import { isForLater, mayBeDone } from './later.ts'
import { RedfishRefusal } from './refusal.ts'
import type { SystemPlace } from './system.ts'
import { followTask } from './task.ts'

export interface MediaPatience {
  /** How long a medium may take to be taken and to show, milliseconds. */
  readonly deadlineMs: number
  readonly pollMs: number
  /** A write that was declined is sent again after this, milliseconds. */
  readonly declinedMs: number
}

export interface RedfishMediaDeps {
  readonly client: RedfishClient
  readonly place: (signal?: AbortSignal) => Promise<SystemPlace>
  readonly inTurn: <T>(work: () => Promise<T>, signal?: AbortSignal) => Promise<T>
  readonly patience: MediaPatience
  readonly log: Log
}

export function createRedfishMedia({ client, place, inTurn, patience, log }: RedfishMediaDeps): BmcMedia {
  const { address } = client

  async function driveOf(id: string, signal?: AbortSignal): Promise<RedfishDrive> {
    const drives = await readDrives(client, await place(signal), signal)
    const found = drives.find((drive) => drive.id === id)
    if (found) return found
    const list = drives.map((drive) => drive.id).join(', ')
    throw new AppError(
      'not_found',
      `Cannot find drive "${id}" of BMC "${address}": it has ${list === '' ? 'none' : list}`,
    )
  }

  async function insert(drive: RedfishDrive, medium: Medium, signal?: AbortSignal): Promise<BmcDrive> {
    const url = urlFor(drive, medium, address)
    if (drive.inserted !== undefined) throw occupied(drive, address)
    const endMs = performance.now() + patience.deadlineMs
    let how: How | undefined = usual(drive, medium)
    for (const tried = new Set<string>(); ;) {
      tried.add(JSON.stringify(how))
      try {
        await sent(await send(drive, url, how, signal), signal)
        return await readBack(drive.path, medium, endMs, signal)
      } catch (error) {
        const next: How | undefined = error instanceof RedfishRefusal ? adapt(how, error) : undefined
        if (next !== undefined && !tried.has(JSON.stringify(next))) {
          log.debug('redfish medium inserted otherwise', { why: masked(explain(error), medium) })
          how = next
          continue
        }
        if (mayBeDone(error)) return readBack(drive.path, medium, endMs, signal, error)
        if (!isForLater(error)) throw refusedMedium(error, medium, how)
        // Somebody else was faster, or the service is busy with something that passes.
        const now = await readDrive(client, drive.path, signal)
        if (isShown(now, medium)) return shownOf(now)
        if (now.inserted !== undefined) throw occupied(now, address)
        if (performance.now() + patience.declinedMs > endMs) throw error
        tried.clear()
        await sleep(patience.declinedMs, signal)
      }
    }
  }

  async function send(drive: RedfishDrive, url: string, how: How, signal?: AbortSignal): Promise<RedfishAnswer> {
    const body = {
      Image: url,
      ...(how.inserted ? { Inserted: true } : {}),
      ...(how.writeProtected === undefined ? {} : { WriteProtected: how.writeProtected }),
      ...(how.protocol ? { TransferProtocolType: url.startsWith('https:') ? 'HTTPS' : 'HTTP' } : {}),
      ...(how.method ? { TransferMethod: 'Stream' } : {}),
    }
    if (how.way === 'action') return client.post(drive.insertPath!, body, signal)
    return client.patch(drive.path, body, { etag: drive.etag, signal })
  }

  const sent = (answer: RedfishAnswer, signal?: AbortSignal): Promise<void> =>
    followTask(client, answer, { pollMs: patience.pollMs, deadlineMs: patience.deadlineMs, signal })

  /** @param lost why it is not known whether the BMC has taken it */
  async function readBack(
    path: string,
    medium: Medium,
    endMs: number,
    signal?: AbortSignal,
    lost?: AppError,
  ): Promise<BmcDrive> {
    for (;;) {
      const now = await readDrive(client, path, signal)
      if (isShown(now, medium)) return shownOf(now)
      if (performance.now() + patience.pollMs > endMs) {
        const kept = now.inserted === undefined ? 'nothing' : `"${withoutUrl(now.inserted)}"`
        throw new AppError(
          'bad_peer',
          `Cannot insert "${medium.name}" into drive "${now.id}" of BMC "${address}": ${lost ? 'it did not answer' : 'it took the medium'} and shows ${kept}; can it fetch from the address that it was given?`,
          lost && { cause: new Error(masked(lost.message, medium)) },
        )
      }
      await sleep(patience.pollMs, signal)
    }
  }

  async function eject(drive: RedfishDrive, signal?: AbortSignal): Promise<void> {
    const endMs = performance.now() + patience.deadlineMs
    let declined: AppError | undefined
    for (let way: 'action' | 'patch' = drive.ejectPath === undefined ? 'patch' : 'action'; ;) {
      const now = await readDrive(client, drive.path, signal)
      if (now.inserted === undefined) return
      if (performance.now() > endMs)
        throw new AppError(
          declined ? 'timeout' : 'bad_peer',
          `Cannot eject "${withoutUrl(now.inserted)}" from drive "${now.id}" of BMC "${address}": it ${declined ? 'declined each time' : 'said that it did'}, and still shows it`,
          declined && { cause: declined },
        )
      try {
        const answer: RedfishAnswer =
          way === 'action'
            ? await client.post(drive.ejectPath!, {}, signal)
            : await client.patch(drive.path, { Image: null, Inserted: false }, { etag: now.etag, signal })
        await sent(answer, signal)
        declined = undefined
      } catch (error) {
        if (way === 'action' && error instanceof RedfishRefusal && [404, 405, 501].includes(error.status)) {
          way = 'patch'
          continue
        }
        if (!isForLater(error) && !mayBeDone(error)) throw error
        declined = error
      }
      if (await isEmptyBy(drive.path, Math.min(endMs, performance.now() + patience.declinedMs * 10), signal)) return
    }
  }

  async function isEmptyBy(path: string, endMs: number, signal?: AbortSignal): Promise<boolean> {
    for (;;) {
      if ((await readDrive(client, path, signal)).inserted === undefined) return true
      if (performance.now() + patience.pollMs > endMs) return false
      await sleep(patience.pollMs, signal)
    }
  }

  return {
    drives: (signal) =>
      inTurn(async () => (await readDrives(client, await place(signal), signal)).map(shownOf), signal),
    insert: (id, medium, signal) => inTurn(async () => insert(await driveOf(id, signal), medium, signal), signal),
    eject: (id, signal) => inTurn(async () => eject(await driveOf(id, signal), signal), signal),
    holds: ({ inserted }, medium) => inserted !== undefined && isOf([inserted], medium),
  }
}

/** What is said beside the image. */
interface How {
  readonly way: 'action' | 'patch'
  readonly inserted: boolean
  /** Undefined: the service decides. */
  readonly writeProtected: boolean | undefined
  readonly protocol: boolean
  readonly method: boolean
}

function usual({ insertPath }: RedfishDrive, { isWritable }: Medium): How {
  const way = insertPath === undefined ? 'patch' : 'action'
  return { way, inserted: true, writeProtected: !isWritable, protocol: false, method: false }
}

/** Another way that the refusal asks for: a parameter that it names is left out where it was there, and said where it was not. */
function adapt(how: How, why: RedfishRefusal): How | undefined {
  const { status, message } = why
  if (how.way === 'action' && [404, 405, 501].includes(status)) return { ...how, way: 'patch' }
  if (isForLater(why) || status >= 500 || status === 401 || status === 403) return undefined
  const names = (property: string): boolean => new RegExp(`\\b${property}\\b`).test(message)
  if (names('TransferProtocolType')) return { ...how, protocol: !how.protocol }
  if (names('TransferMethod')) return { ...how, method: !how.method }
  if (names('Inserted') && how.inserted) return { ...how, inserted: false }
  // One that takes no writing is no answer to who asked for it.
  if (names('WriteProtected') && how.writeProtected === true) return { ...how, writeProtected: undefined }
  if (names('WriteProtected') || names('Image')) return undefined
  if (how.inserted || how.writeProtected === true)
    return { ...how, inserted: false, writeProtected: how.writeProtected === false ? false : undefined }
  return how.protocol ? undefined : { ...how, protocol: true }
}

function urlFor(drive: RedfishDrive, medium: Medium, address: string): string {
  const cannot = `Cannot insert "${medium.name}" into drive "${drive.id}" of BMC "${address}"`
  if (medium.url === undefined)
    throw new AppError(
      'conflict',
      `${cannot}: it fetches media by HTTP, and this server serves none; start it with --interface NAME`,
    )
  if (!drive.kinds.includes(medium.kind))
    throw new AppError('unsupported', `${cannot}: it plays ${drive.kinds.join(', ')}, not ${medium.kind}`)
  const protocol = medium.url.startsWith('https:') ? 'HTTPS' : 'HTTP'
  if (drive.protocols !== undefined && !drive.protocols.includes(protocol))
    throw new AppError(
      'unsupported',
      `${cannot}: it takes no ${protocol}, but ${printable(drive.protocols.join(', '))}${protocol === 'HTTP' ? '; put a proxy with TLS before this server and name it with --media-url https://…' : ''}`,
    )
  return medium.url
}

function refusedMedium(error: unknown, medium: Medium, how: How): unknown {
  if (!(error instanceof AppError)) return error
  const message = masked(error.message, medium)
  const help =
    error instanceof RedfishRefusal && how.writeProtected === false && /\bWriteProtected\b/.test(error.message)
      ? '; it takes media that are not written to alone'
      : error instanceof RedfishRefusal && /\bImage\b|https/i.test(error.message) && error.status === 400
        ? '; does it take such a URL? where it wants https://, put a proxy with TLS before this server and name it with --media-url'
        : ''
  // A part of the URL is a secret, which services repeat, and causes with them.
  return new AppError(help === '' ? error.code : 'unsupported', `${message}${help}`)
}

function occupied(drive: RedfishDrive, address: string): AppError {
  return new AppError(
    'conflict',
    `Cannot insert a medium into drive "${drive.id}" of BMC "${address}": it holds "${withoutUrl(drive.inserted ?? '')}", which stays there; take it out first`,
  )
}

function isShown(drive: RedfishDrive, medium: Medium): boolean {
  return drive.inserted !== undefined && isOf(drive.shown, medium)
}

/** Services cut URLs, leave out their scheme, or keep the name alone. */
function isOf(shown: readonly string[], { secret, name }: Pick<Medium, 'secret' | 'name'>): boolean {
  return shown.some((one) => one.includes(secret) || one === name)
}

function shownOf({ id, kinds, inserted, isWriteProtected }: RedfishDrive): BmcDrive {
  return {
    id,
    kinds,
    ...(inserted === undefined ? {} : { inserted }),
    ...(isWriteProtected === undefined ? {} : { isWriteProtected }),
  }
}

/** What is in a drive for a message: of a URL the last part, since what is before may be a secret of somebody. */
function withoutUrl(inserted: string): string {
  return inserted.replace(/[?#].*/, '').replace(/.*\//, '')
}

function masked(message: string, { secret }: Medium): string {
  return message.replaceAll(secret, '****')
}

function printable(value: string): string {
  return value.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 200)
}
