/**
 * What a machine with AMT boots from next (Intel AMT SDK, "Set or Disable Boot Configuration Settings and Options"). The firmware
 * keeps it for one boot. Settings that an earlier session left (BIOS setup, IDE redirection) would win over it, so they are taken back.
 */
import { AppError } from '../../../base/errors.ts'
import type { BootOverride } from '../../../services/power/power-port.ts'
import {
  AMT_RESOURCES,
  BOOT_SOURCES,
  bootSource,
  parseInstance,
  plainSettings,
  ROLE_NEXT_SINGLE_USE,
  switchesOn,
} from '../../../wire/wsman/amt.ts'
import { className, type Resource, type WsmanFields } from '../../../wire/wsman/envelope.ts'
import type { WsmanClient } from './wsman-client.ts'

/**
 * Sets the source of the next boot; `none` takes it back. The settings are read back; the order of sources cannot be, and is believed
 * by its return value.
 * @throws {AppError} `unsupported` for all boots, or a source that the firmware does not offer; `bad_peer` when it kept other settings
 */
export async function setAmtBoot(
  client: WsmanClient,
  { device, once }: BootOverride,
  address: string,
  signal?: AbortSignal,
): Promise<void> {
  if (!once && device !== 'none')
    throw new AppError('unsupported', `Cannot set the boot source of AMT "${address}" for all boots: it keeps one boot`)
  const changeOrder = (fields: WsmanFields): Promise<void> =>
    client.invoke(AMT_RESOURCES.bootConfig, 'ChangeBootOrder', fields, signal)
  if (device === 'none') return changeOrder([])
  if (device === 'usb')
    throw new AppError('unsupported', `Cannot boot from "usb" by AMT "${address}": it knows no such source`)
  const offered = await read(client, AMT_RESOURCES.bootCapabilities, signal)
  const { capability } = BOOT_SOURCES[device]
  if (new Map(offered).get(capability) !== 'true')
    throw new AppError(
      'unsupported',
      `Cannot boot from "${device}" by AMT "${address}": its firmware lacks ${capability}`,
    )
  await changeOrder([])
  await makePlain(client, address, signal)
  const role: WsmanFields = [
    ['BootConfigSetting', AMT_RESOURCES.bootConfig],
    ['Role', ROLE_NEXT_SINGLE_USE],
  ]
  await client.invoke(AMT_RESOURCES.bootService, 'SetBootConfigRole', role, signal)
  await changeOrder([['Source', bootSource(device)]])
}

async function makePlain(client: WsmanClient, address: string, signal?: AbortSignal): Promise<void> {
  const settings = await read(client, AMT_RESOURCES.bootSettings, signal)
  if (switchesOn(settings).length === 0) return
  await client.put(AMT_RESOURCES.bootSettings, plainSettings(settings), signal)
  const left = switchesOn(await read(client, AMT_RESOURCES.bootSettings, signal))
  if (left.length > 0)
    throw new AppError('bad_peer', `Cannot set the boot source of AMT "${address}": it kept ${left.join(', ')}`)
}

async function read(client: WsmanClient, resource: Resource, signal?: AbortSignal): Promise<WsmanFields> {
  return parseInstance(await client.get(resource, signal), className(resource))
}
