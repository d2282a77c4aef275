/** Set System Boot Options as a boot override (IPMI v2.0 §28.12), read back, and written another way where something else was kept. */
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { BootOverride } from '../../../services/power/power-port.ts'
import {
  BOOT_DEVICE,
  BOOT_PARAMETER,
  bootDeviceName,
  parseBootFlags,
  serializeBootFlags,
  SET_PROGRESS,
  type BootFlags,
} from '../../../wire/ipmi/boot-options.ts'
import { COMMANDS } from '../../../wire/ipmi/commands.ts'
import type { Commander } from './commander.ts'
import type { Behaviour, BootWay } from './quirks.ts'
import { CompletionError } from './session.ts'

export interface BootDeps {
  readonly bmc: Pick<Commander, 'request'>
  readonly behaviour: Behaviour
  /** For messages. */
  readonly address: string
  readonly log: Log
}

/**
 * Sets the override and reads it back; where the BMC kept something else, the next of its ways is tried.
 *
 * Parameters 0 (set in progress), 3 (on what the valid flag stays) and 4 (acknowledge) are manners: a BMC that does not know them is
 * not asked again.
 * @throws {AppError} `bad_peer` when something else was kept each way, `unsupported` when the BMC has no boot options at all
 */
export async function setBootOverride(deps: BootDeps, override: BootOverride, signal?: AbortSignal): Promise<void> {
  const { behaviour, address, log } = deps
  const wanted = flagsOf(override, behaviour)
  let kept: string | undefined
  let declined: unknown
  for (const way of behaviour.bootWays)
    try {
      await write(deps, way, wanted, signal)
      const other = await readOther(deps, wanted, signal)
      if (other === undefined) return
      kept ??= other
      log.debug('boot override not kept', { address, way, kept: other })
    } catch (error) {
      if (!(error instanceof CompletionError)) throw error
      declined = error
    }
  if (kept !== undefined)
    throw new AppError(
      'bad_peer',
      `Cannot set the boot device on BMC "${address}": it took the command and kept ${kept}; set the boot order in the machine's firmware, or use Redfish`,
    )
  throw new AppError(
    'unsupported',
    `Cannot set the boot device on BMC "${address}": it declined; set the boot order in the machine's firmware instead`,
    { cause: declined },
  )
}

/**
 * Writes the override again if the BMC has dropped it: most do so 60 s after it was set, some at any power event (table 28-14,
 * parameter 3). A BMC that does not say what it has is left alone.
 * @throws {AppError} as setBootOverride
 */
export async function renewBootOverride(deps: BootDeps, override: BootOverride, signal?: AbortSignal): Promise<void> {
  let other: string | undefined
  try {
    other = await readOther(deps, flagsOf(override, deps.behaviour), signal)
  } catch (error) {
    if (!(error instanceof CompletionError)) throw error
    return
  }
  if (other === undefined) return
  deps.log.info('boot override was dropped and is set again', { address: deps.address, found: other })
  await setBootOverride(deps, override, signal)
}

function flagsOf({ device, firmware, once }: BootOverride, { lastingUefiDisk }: Behaviour): BootFlags {
  const isLastingDisk = device === 'disk' && firmware === 'uefi' && !once
  return {
    isValid: true,
    isPersistent: !once,
    isUefi: firmware === 'uefi',
    device: isLastingDisk ? lastingUefiDisk : BOOT_DEVICE[device],
  }
}

/** @throws {CompletionError} when the BMC declines the flags themselves */
async function write(
  { bmc, behaviour, address, log }: BootDeps,
  way: BootWay,
  wanted: BootFlags,
  signal?: AbortSignal,
): Promise<void> {
  const set = (parameter: number, ...data: number[]) =>
    bmc.request(COMMANDS.setBootOption, { parameter, data: Uint8Array.from(data) }, signal)
  const trySet = async (parameter: number, ...data: number[]) => {
    try {
      await set(parameter, ...data)
    } catch (error) {
      if (!(error instanceof CompletionError)) throw error
      log.debug('boot option declined', { address, parameter, why: error.message })
    }
  }
  const isGuarded = way === 'guarded'
  if (isGuarded) await trySet(BOOT_PARAMETER.setInProgress, SET_PROGRESS.inProgress)
  await trySet(BOOT_PARAMETER.clearValidBit, behaviour.keepValid)
  // Write mask and value: the BIOS has not handled the boot information yet.
  await trySet(BOOT_PARAMETER.acknowledge, 0x01, 0x01)
  try {
    await set(BOOT_PARAMETER.flags, ...serializeBootFlags(wanted))
    if (isGuarded) await trySet(BOOT_PARAMETER.setInProgress, SET_PROGRESS.commit)
  } finally {
    if (isGuarded) await trySet(BOOT_PARAMETER.setInProgress, SET_PROGRESS.complete)
  }
}

/** What the BMC has instead of what is wanted, in words; undefined when it is that. */
async function readOther(
  { bmc, behaviour, address, log }: BootDeps,
  wanted: BootFlags,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const { data } = await bmc.request(COMMANDS.getBootOption, { parameter: BOOT_PARAMETER.flags }, signal)
  const kept = parseBootFlags(data)
  if (kept.device !== wanted.device)
    return `the device "${bootDeviceName(kept.device)}", not "${bootDeviceName(wanted.device)}"`
  // Quirk "boot-flags-not-read-back" (docs/hardware.md): the device is kept and returned, the byte of flags always reads 0.
  if (data[0] === 0 || behaviour.readsBack === 'device') {
    const quirk = data[0] === 0 ? 'boot-flags-not-read-back' : 'boot-device-only'
    log.warn('boot flags not read back', { address, quirk })
    return undefined
  }
  if (wanted.device !== BOOT_DEVICE.none) {
    if (!kept.isValid) return 'it as not valid'
    if (kept.isUefi !== wanted.isUefi) return kept.isUefi ? 'UEFI, not legacy boot' : 'legacy boot, not UEFI'
  }
  if (kept.isPersistent && !wanted.isPersistent) return 'it for all boots, not for one'
  if (!kept.isPersistent && wanted.isPersistent) return 'it for one boot, not for all'
  return undefined
}
