/** Virtual drives of a Redfish service (DSP0268, VirtualMedia): where they are, and what is in them. */
import { z } from 'zod'
import { AppError } from '../../../base/errors.ts'
import type { MediumKind } from '../../../model/media.ts'
import type { BmcDrive } from '../../../services/power/power-port.ts'
import type { RedfishClient } from './client.ts'
import { memberPaths } from './collection.ts'
import type { SystemPlace } from './system.ts'

const text = z.string().max(4096).nullish().catch(null)
const flag = z.boolean().nullish().catch(null)
const texts = z.array(z.string().max(64)).max(64).nullish().catch(null)
const link = z.object({ '@odata.id': z.string() })
const action = z
  .object({ target: z.string(), 'TransferProtocolType@Redfish.AllowableValues': texts })
  .nullish()
  .catch(null)

const managerSchema = z.object({ VirtualMedia: link.nullish().catch(null) })
const driveSchema = z.object({
  Id: z.string().min(1).max(128).nullish().catch(null),
  MediaTypes: texts,
  Image: text,
  ImageName: text,
  Inserted: flag,
  ConnectedVia: text,
  WriteProtected: flag,
  Actions: z.object({ '#VirtualMedia.InsertMedia': action, '#VirtualMedia.EjectMedia': action }).nullish().catch(null),
})

export interface RedfishDrive extends BmcDrive {
  readonly path: string
  readonly etag: string | undefined
  /** Where InsertMedia and EjectMedia are posted to; undefined where the service has the PATCH way alone. */
  readonly insertPath: string | undefined
  readonly ejectPath: string | undefined
  /** Protocols that InsertMedia names, upper case; undefined where it does not say. */
  readonly protocols: readonly string[] | undefined
  /** What it shows as Image and ImageName, as it came. */
  readonly shown: readonly string[]
}

const KINDS: Readonly<Record<string, MediumKind>> = { CD: 'cd', DVD: 'cd', USBStick: 'usb', Floppy: 'usb' }
/** What services without MediaTypes name their drives (Gigabyte H262: CD1, test/packets/redfish). */
const BY_NAME: readonly (readonly [RegExp, MediumKind])[] = [
  [/cd|dvd|optical/i, 'cd'],
  [/usb|removable|floppy|hd|disk/i, 'usb'],
]
/** What a service writes where there is no image. */
const NOTHING = /^\s*(none|null|n\/?a|not ?(available|connected)|)\s*$/i
const MAX_DRIVES = 32

/**
 * The drives of a system: its own where it has some (DSP0268 2020.4 moved them there), else those of its managers.
 * @returns none where the service has no virtual media
 * @throws {AppError} as RedfishClient.get
 */
export async function readDrives(
  client: RedfishClient,
  place: SystemPlace,
  signal?: AbortSignal,
): Promise<RedfishDrive[]> {
  const paths = await drivePaths(client, place, signal)
  const drives: RedfishDrive[] = []
  for (const path of paths.slice(0, MAX_DRIVES)) {
    const drive = await readDrive(client, path, signal)
    if (place.behaviour.mediaDrives.test(drive.id)) drives.push(drive)
  }
  return drives
}

/** @throws {AppError} `bad_peer` when there is no VirtualMedia */
export async function readDrive(client: RedfishClient, path: string, signal?: AbortSignal): Promise<RedfishDrive> {
  const { body, etag } = await client.get(path, signal)
  const parsed = driveSchema.safeParse(body)
  if (!parsed.success)
    throw new AppError('bad_peer', `Cannot read drive "${path}" of BMC "${client.address}": it is no VirtualMedia`)
  const drive = parsed.data
  const id = printable(drive.Id ?? path.replace(/\/+$/, '').replace(/.*\//, ''))
  const shown = [drive.Image, drive.ImageName].flatMap((one) => (one && !NOTHING.test(one) ? [one] : []))
  const insert = drive.Actions?.['#VirtualMedia.InsertMedia'] ?? undefined
  const protocols = insert?.['TransferProtocolType@Redfish.AllowableValues'] ?? undefined
  return {
    id,
    path,
    etag,
    kinds: kindsOf(drive.MediaTypes ?? [], id),
    ...(isFull(drive, shown.length > 0) ? { inserted: printable(shown[0] ?? 'a medium without a name') } : {}),
    ...(typeof drive.WriteProtected === 'boolean' ? { isWriteProtected: drive.WriteProtected } : {}),
    insertPath: insert?.target,
    ejectPath: drive.Actions?.['#VirtualMedia.EjectMedia']?.target,
    protocols: protocols?.map((one) => one.toUpperCase()),
    shown,
  }
}

/** Supermicro shows the last image for ever: what counts is whether it is inserted, or else connected. */
function isFull({ Inserted, ConnectedVia }: z.infer<typeof driveSchema>, hasImage: boolean): boolean {
  if (typeof Inserted === 'boolean') return Inserted
  return hasImage && ConnectedVia !== 'NotConnected'
}

function kindsOf(types: readonly string[], id: string): readonly MediumKind[] {
  const known = new Set(types.flatMap((type) => KINDS[type] ?? []))
  if (known.size > 0) return [...known]
  const named = BY_NAME.find(([pattern]) => pattern.test(id))
  return named === undefined ? ['cd', 'usb'] : [named[1]]
}

async function drivePaths(client: RedfishClient, place: SystemPlace, signal?: AbortSignal): Promise<string[]> {
  const own = place.mediaPath === undefined ? [] : await membersOf(client, place.mediaPath, signal)
  if (own.length > 0) return own
  const found: string[] = []
  for (const manager of await managersOf(client, place, signal)) {
    const { body } = await client.get(manager, signal)
    const path = managerSchema.safeParse(body).data?.VirtualMedia?.['@odata.id']
    if (path !== undefined) found.push(...(await membersOf(client, path, signal)))
  }
  return [...new Set(found)]
}

/** A service that does not say who manages its system has one manager, or none that can be told from the others. */
async function managersOf(
  client: RedfishClient,
  { managerPaths, managersPath }: SystemPlace,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  if (managerPaths.length > 0 || managersPath === undefined) return managerPaths
  const all = await membersOf(client, managersPath, signal)
  return all.length === 1 ? all : []
}

/** None where the collection is named and not there. */
async function membersOf(client: RedfishClient, path: string, signal?: AbortSignal): Promise<string[]> {
  try {
    return [...(await memberPaths(client, path, signal))]
  } catch (error) {
    if (error instanceof AppError && error.code === 'not_found') return []
    throw error
  }
}

function printable(value: string): string {
  return value.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 256)
}
