/** Set System Boot Options as a boot override: the order of IPMI v2.0 §28.12, then read back. */
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { BootOverride } from '../../../services/power/power-port.ts'
import {
  BOOT_DEVICE,
  BOOT_PARAMETER,
  bootDeviceName,
  KEEP_VALID,
  parseBootFlags,
  serializeBootFlags,
  SET_PROGRESS,
  type BootFlags,
} from '../../../wire/ipmi/boot-options.ts'
import { COMMANDS } from '../../../wire/ipmi/commands.ts'
import type { Commander } from './commander.ts'
import { CompletionError } from './session.ts'

/**
 * Sets the override and reads it back.
 *
 * Parameters 0 (set in progress), 3 (do not clear the valid flag after 60 s without a power command) and 4 (acknowledge) are
 * manners: a BMC that does not know them is not asked again.
 * @throws {AppError} `bad_peer` when something else was kept, `unsupported` when the BMC has no boot options at all
 */
export async function setBootOverride(
  bmc: Commander,
  override: BootOverride,
  address: string,
  log: Log,
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
  const wanted: BootFlags = {
    isValid: true,
    isPersistent: !override.once,
    isUefi: override.firmware === 'uefi',
    device: BOOT_DEVICE[override.device],
  }
  try {
    await trySet(BOOT_PARAMETER.setInProgress, SET_PROGRESS.inProgress)
    await trySet(BOOT_PARAMETER.clearValidBit, KEEP_VALID.noCommandIn60Seconds)
    // Write mask and value: the BIOS has not handled the boot information yet.
    await trySet(BOOT_PARAMETER.acknowledge, 0x01, 0x01)
    try {
      await set(BOOT_PARAMETER.flags, ...serializeBootFlags(wanted))
    } finally {
      await trySet(BOOT_PARAMETER.setInProgress, SET_PROGRESS.complete)
    }
    const { data } = await bmc.request(COMMANDS.getBootOption, { parameter: BOOT_PARAMETER.flags }, signal)
    checkKept(parseBootFlags(data), data[0]!, wanted, address, log)
  } catch (cause) {
    if (!(cause instanceof CompletionError)) throw cause
    throw new AppError(
      'unsupported',
      `Cannot set the boot device on BMC "${address}": it declined; set the boot order in the machine's firmware instead`,
      { cause },
    )
  }
}

function checkKept(kept: BootFlags, flagsByte: number, wanted: BootFlags, address: string, log: Log): void {
  const complain = (what: string) => {
    throw new AppError(
      'bad_peer',
      `Cannot set the boot device on BMC "${address}": it took the command and kept ${what}; set the boot order in the machine's firmware, or use Redfish`,
    )
  }
  if (kept.device !== wanted.device)
    complain(`the device "${bootDeviceName(kept.device)}", not "${bootDeviceName(wanted.device)}"`)
  // Quirk "boot-flags-not-read-back" (docs/hardware.md): the device is kept and returned, the byte of flags always reads 0.
  if (flagsByte === 0) return log.warn('boot flags not read back', { address, quirk: 'boot-flags-not-read-back' })
  if (!kept.isValid && wanted.device !== BOOT_DEVICE.none) complain('it as not valid')
  if (kept.isUefi !== wanted.isUefi && wanted.device !== BOOT_DEVICE.none)
    complain(kept.isUefi ? 'UEFI, not legacy boot' : 'legacy boot, not UEFI')
  if (kept.isPersistent && !wanted.isPersistent) complain('it for all boots, not for one')
  if (!kept.isPersistent && wanted.isPersistent) complain('it for one boot, not for all')
}
