/** The ComputerSystem (DSP0268) that a BMC's URL means: found once, read as often as asked. */
import { z } from 'zod'
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { PowerReading } from '../set-power.ts'
import type { RedfishClient } from './client.ts'
import { memberPaths } from './collection.ts'
import { type Behaviour, behaviourOf } from './quirks.ts'

const text = z.string().max(256).nullish().catch(null)
const link = z.object({ '@odata.id': z.string() })
const types = z.array(z.string().max(64)).max(64)

const rootSchema = z.object({
  Vendor: text,
  Product: text,
  Systems: link.nullish(),
  Managers: link.nullish().catch(null),
})
const systemSchema = z.object({
  '@odata.id': text,
  Manufacturer: text,
  Model: text,
  BiosVersion: text,
  PowerState: text,
  Boot: z.record(z.string(), z.unknown()).nullish().catch(null),
  Actions: z
    .object({
      '#ComputerSystem.Reset': z
        .object({
          target: z.string(),
          'ResetType@Redfish.AllowableValues': types.nullish().catch(null),
          '@Redfish.ActionInfo': z.string().nullish().catch(null),
        })
        .nullish(),
    })
    .nullish()
    .catch(null),
  VirtualMedia: link.nullish().catch(null),
  Links: z
    .object({ ManagedBy: z.array(link).max(64).nullish() })
    .nullish()
    .catch(null),
  '@Redfish.Settings': z.object({ SettingsObject: link }).nullish().catch(null),
})
const actionInfoSchema = z.object({
  Parameters: z.array(z.object({ Name: z.string(), AllowableValues: types.nullish() })).max(64),
})

export interface SystemPlace {
  readonly path: string
  readonly behaviour: Behaviour
  /** Where Reset is posted to; undefined when the system has none. */
  readonly resetPath: string | undefined
  /** Reset types as offered; undefined when the BMC does not say. */
  readonly resetTypes: readonly string[] | undefined
  /** The resource whose properties are taken at the next boot. */
  readonly settingsPath: string
  /** Its collection of virtual drives, where the system itself has one. */
  readonly mediaPath: string | undefined
  /** The managers that may have drives for it. */
  readonly managerPaths: readonly string[]
  /** The collection of all managers. */
  readonly managersPath: string | undefined
}

export interface SystemReading {
  readonly power: PowerReading
  readonly boot: Readonly<Record<string, unknown>> | undefined
  readonly etag: string | undefined
}

/**
 * Finds the system.
 * @param wanted last part of its path; needed where the BMC has several
 * @throws {AppError} `not_found` and `invalid` name the systems that there are; `unsupported` when there are none
 */
export async function findSystem(
  client: RedfishClient,
  wanted: string | undefined,
  log: Log,
  signal?: AbortSignal,
): Promise<SystemPlace> {
  const root = rootSchema.safeParse((await client.get('/redfish/v1', signal)).body)
  if (!root.success)
    throw new AppError('bad_peer', `Cannot use BMC "${client.address}": its service root is no Redfish service root`)
  const systems = root.data.Systems?.['@odata.id']
  const paths = systems === undefined ? [] : await memberPaths(client, systems, signal)
  const path = choose(paths, wanted, client.address)
  const { body } = await client.get(path, signal)
  const system = parseSystem(client, path, body)
  const { behaviour, names } = behaviourOf({
    vendor: root.data.Vendor ?? '',
    product: root.data.Product ?? '',
    manufacturer: system.Manufacturer ?? '',
    model: system.Model ?? '',
    firmware: system.BiosVersion ?? '',
  })
  if (names.length > 0) log.debug('redfish quirks', { quirks: names })
  const reset = system.Actions?.['#ComputerSystem.Reset']
  const info = reset?.['@Redfish.ActionInfo']
  const listed = reset?.['ResetType@Redfish.AllowableValues']
  return {
    path,
    behaviour,
    resetPath: reset?.target,
    resetTypes: listed ?? (info ? await typesOf(client, info, signal) : undefined),
    settingsPath: system['@Redfish.Settings']?.SettingsObject['@odata.id'] ?? `${path.replace(/\/$/, '')}/SD`,
    mediaPath: system.VirtualMedia?.['@odata.id'],
    managerPaths: (system.Links?.ManagedBy ?? []).map((one) => one['@odata.id']),
    managersPath: root.data.Managers?.['@odata.id'],
  }
}

/** @throws {AppError} `bad_peer` when the answer is of another system */
export async function readSystem(client: RedfishClient, path: string, signal?: AbortSignal): Promise<SystemReading> {
  const { body, etag } = await client.get(path, signal)
  const system = parseSystem(client, path, body)
  return { power: powerOf(system.PowerState), boot: system.Boot ?? undefined, etag }
}

/** PoweringOn and PoweringOff are between; Paused and what we do not know is unknown. */
function powerOf(state: string | null | undefined): PowerReading {
  switch (state) {
    case 'On':
      return 'on'
    case 'Off':
      return 'off'
    case 'PoweringOn':
      return 'turning-on'
    case 'PoweringOff':
      return 'turning-off'
    default:
      return 'unknown'
  }
}

function parseSystem(client: RedfishClient, path: string, body: unknown): z.infer<typeof systemSchema> {
  const system = systemSchema.safeParse(body)
  if (!system.success)
    throw new AppError('bad_peer', `Cannot read system "${path}" of BMC "${client.address}": it is no ComputerSystem`)
  const own = system.data['@odata.id']
  if (own && idOf(own).toLowerCase() !== idOf(path).toLowerCase())
    throw new AppError(
      'bad_peer',
      `Cannot read system "${path}" of BMC "${client.address}": it answers with "${printable(idOf(own))}" instead`,
    )
  return system.data
}

function choose(paths: readonly string[], wanted: string | undefined, address: string): string {
  const known = paths.slice(0, 16).map((path) => printable(idOf(path)))
  const list = known.join(', ') + (paths.length > known.length ? ', …' : '')
  if (paths.length === 0) throw new AppError('unsupported', `Cannot use BMC "${address}": it has no computer systems`)
  if (wanted === undefined) {
    if (paths.length === 1) return paths[0]!
    throw new AppError(
      'invalid',
      `Cannot tell which system of BMC "${address}" is the machine: it has ${list}; name one in its URL: ?system=${known[0]}`,
    )
  }
  const found = paths.find((path) => idOf(path) === wanted)
  if (found === undefined)
    throw new AppError('not_found', `Cannot find system "${wanted}" on BMC "${address}": it has ${list}`)
  return found
}

async function typesOf(
  client: RedfishClient,
  path: string,
  signal?: AbortSignal,
): Promise<readonly string[] | undefined> {
  try {
    const info = actionInfoSchema.safeParse((await client.get(path, signal)).body)
    return info.data?.Parameters.find(({ Name }) => Name === 'ResetType')?.AllowableValues ?? undefined
  } catch (error) {
    // Some name a page that they do not have: then they do not say.
    if (error instanceof AppError && error.code === 'not_found') return undefined
    throw error
  }
}

/** The last part of a path. */
function idOf(path: string): string {
  return path.replace(/\/+$/, '').replace(/.*\//, '')
}

function printable(id: string): string {
  return id.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 64)
}
