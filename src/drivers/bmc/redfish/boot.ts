/** The boot override of a ComputerSystem (DSP0268, Boot): written where and as the service wants it, and read back. */
import { sleep } from '../../../base/clock.ts'
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { BootOverride } from '../../../services/power/power-port.ts'
import type { RedfishClient } from './client.ts'
import { isForLater, mayBeDone } from './later.ts'
import type { Behaviour } from './quirks.ts'
import { RedfishRefusal } from './refusal.ts'
import { readSystem, type SystemPlace } from './system.ts'

type Boot = Readonly<Record<string, unknown>>

export interface BootPatience {
  /** How long the override may take to be taken and to show, milliseconds. */
  readonly deadlineMs: number
  /** Pause between two readings, milliseconds. */
  readonly pollMs: number
  /** A write that was declined is sent again after this, milliseconds. */
  readonly declinedMs: number
}

const TARGETS = {
  pxe: { uefi: ['Pxe', 'UefiHttp'], bios: ['Pxe'] },
  disk: { uefi: ['Hdd'], bios: ['Hdd'] },
  cd: { uefi: ['Cd'], bios: ['Cd'] },
  usb: { uefi: ['Usb', 'Floppy'], bios: ['Usb', 'Floppy'] },
  none: { uefi: ['None'], bios: ['None'] },
} as const

/**
 * Sets the override and reads it back; nothing is sent when it is so already.
 * @throws {AppError} `bad_peer` when something else was kept, `unsupported` when the BMC does not offer it
 */
export async function setRedfishBoot(
  client: RedfishClient,
  place: SystemPlace,
  override: BootOverride,
  patience: BootPatience,
  log: Log,
  signal?: AbortSignal,
): Promise<void> {
  const now = await readSystem(client, place.path, signal)
  const offered = now.boot
  if (place.behaviour.boot === 'none' || !offered || !('BootSourceOverrideTarget' in offered)) {
    // Nothing is there that could be taken back.
    if (override.device === 'none') return
    throw new AppError(
      'unsupported',
      `Cannot set the boot device on BMC "${client.address}": it offers no boot override; set the boot order in the machine's firmware instead`,
    )
  }
  const wanted = wantedBoot(offered, override, client.address)
  if (difference(offered, wanted) === undefined) return

  let how: How = { ...place.behaviour }
  const endMs = performance.now() + patience.deadlineMs
  let declined: AppError | undefined
  for (;;) {
    const path = how.boot === 'in-the-settings' ? place.settingsPath : place.path
    try {
      await write(client, path, wanted, how, signal)
      declined = undefined
    } catch (error) {
      if (error instanceof RedfishRefusal) {
        const otherwise = adapt(how, error)
        if (otherwise !== undefined) {
          log.debug('redfish boot override written otherwise', { bmc: client.address, why: error.message })
          how = otherwise
          continue
        }
      }
      if (!isForLater(error) && !mayBeDone(error)) throw error
      declined = error
    }
    if (declined === undefined) return readBack(client, path, wanted, how, endMs, patience.pollMs, signal)
    if (mayBeDone(declined) && difference((await readSystem(client, path, signal)).boot ?? {}, wanted) === undefined)
      return
    if (performance.now() + patience.declinedMs > endMs)
      throw new AppError(
        'timeout',
        `Cannot set the boot device on BMC "${client.address}": it declined, or did not answer, each time`,
        {
          cause: declined,
        },
      )
    await sleep(patience.declinedMs, signal)
  }
}

type How = Pick<Behaviour, 'boot' | 'ifMatch' | 'sendsMode' | 'bootInTwoSteps'>

/** Another way to write it that the refusal asks for; undefined when it asks for none, or that was tried. */
function adapt(how: How, why: RedfishRefusal): How | undefined {
  if (how.boot === 'on-the-system' && why.says('OperationSupportedInFutureStateURI'))
    return { ...how, boot: 'in-the-settings' }
  if (how.ifMatch === 'etag' && why.status === 412) return { ...how, ifMatch: 'never' }
  const isAboutMode = why.message.includes('BootSourceOverrideMode')
  if (isAboutMode && why.says('PropertyMissing', 'CreateFailedMissingReqProperties') && !how.sendsMode)
    return { ...how, sendsMode: true }
  if (isAboutMode && how.sendsMode && !why.says('PropertyMissing')) return { ...how, sendsMode: false }
  const isAboutEnabled = why.message.includes('BootSourceOverrideEnabled')
  if (isAboutEnabled && !how.bootInTwoSteps && why.status === 400) return { ...how, bootInTwoSteps: true }
  return undefined
}

async function write(
  client: RedfishClient,
  path: string,
  wanted: Wanted,
  how: How,
  signal?: AbortSignal,
): Promise<void> {
  const mode = how.sendsMode && wanted.mode !== undefined ? { BootSourceOverrideMode: wanted.mode } : {}
  const target = { BootSourceOverrideTarget: wanted.target }
  const enabled = { BootSourceOverrideEnabled: wanted.enabled }
  const steps = how.bootInTwoSteps ? [{ ...target, ...mode }, enabled] : [{ ...enabled, ...target, ...mode }]
  for (const step of steps)
    await client.patch(path, { Boot: step }, { etag: await etagOf(client, path, how, signal), signal })
}

async function etagOf(
  client: RedfishClient,
  path: string,
  how: How,
  signal?: AbortSignal,
): Promise<string | undefined> {
  switch (how.ifMatch) {
    case 'any':
      return '*'
    case 'never':
      return undefined
    case 'etag':
      return (await client.get(path, signal)).etag
    default:
      how.ifMatch satisfies never
  }
}

async function readBack(
  client: RedfishClient,
  path: string,
  wanted: Wanted,
  how: How,
  endMs: number,
  pollMs: number,
  signal?: AbortSignal,
): Promise<void> {
  for (;;) {
    const { boot } = await readSystem(client, path, signal)
    const kept = difference(boot ?? {}, wanted)
    if (kept === undefined) return
    if (performance.now() + pollMs > endMs)
      throw new AppError(
        'bad_peer',
        `Cannot set the boot device on BMC "${client.address}": it took the change and kept ${kept}; set the boot order in the machine's firmware${how.sendsMode ? '' : ' and its boot mode there, too'}`,
      )
    await sleep(pollMs, signal)
  }
}

interface Wanted {
  readonly target: string
  readonly enabled: 'Disabled' | 'Once' | 'Continuous'
  /** Undefined where the BMC has none. */
  readonly mode: string | undefined
}

function wantedBoot(offered: Boot, override: BootOverride, address: string): Wanted {
  const listed = offered['BootSourceOverrideTarget@Redfish.AllowableValues']
  const allowed: readonly unknown[] | undefined = Array.isArray(listed) ? listed : undefined
  const targets: readonly string[] = TARGETS[override.device][override.firmware]
  // Supermicro's word for the virtual drive, beside a `Cd` that starts none (openshift/ironic-image pull request 660).
  const own = override.device === 'cd' && allowed?.includes('UsbCd') === true ? 'UsbCd' : undefined
  const target = own ?? targets.find((one) => allowed === undefined || allowed.includes(one) || one === 'None')
  if (target === undefined)
    throw new AppError(
      'unsupported',
      `Cannot boot from "${override.device}" by BMC "${address}": it offers ${(allowed ?? [])
        .slice(0, 16)
        .join(', ')
        .slice(0, 200)
        .replaceAll(/[^\x20-\x7e]/g, '?')}`,
    )
  const mode = offered['BootSourceOverrideMode']
  if (override.device === 'none')
    return { target, enabled: 'Disabled', mode: typeof mode === 'string' ? mode : undefined }
  return {
    target,
    enabled: override.once ? 'Once' : 'Continuous',
    mode: mode === undefined ? undefined : override.firmware === 'uefi' ? 'UEFI' : 'Legacy',
  }
}

/** What the BMC has instead of what is wanted, in words; undefined when it has that. */
function difference(boot: Boot, { target, enabled, mode }: Wanted): string | undefined {
  const kept = (name: string) =>
    `"${String(boot[name])
      .slice(0, 40)
      .replaceAll(/[^\x20-\x7e]/g, '?')}"`
  // Disabled is disabled, whatever the target that is left.
  if (enabled === 'Disabled')
    return boot['BootSourceOverrideEnabled'] === 'Disabled' || boot['BootSourceOverrideTarget'] === 'None'
      ? undefined
      : `the override ${kept('BootSourceOverrideEnabled')}, not "Disabled"`
  if (boot['BootSourceOverrideTarget'] !== target)
    return `the device ${kept('BootSourceOverrideTarget')}, not "${target}"`
  if (boot['BootSourceOverrideEnabled'] !== enabled)
    return `it as ${kept('BootSourceOverrideEnabled')}, not "${enabled}"`
  if (mode !== undefined && boot['BootSourceOverrideMode'] !== mode)
    return `the boot mode ${kept('BootSourceOverrideMode')}, not "${mode}"`
  return undefined
}
