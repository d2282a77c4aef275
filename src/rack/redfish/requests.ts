/** Bodies of requests to a Redfish service, read once: a value, or a Refusal in the words of the Base registry. */
import { z } from 'zod'
import { AppError } from '../../base/errors.ts'
import type { ChassisCommand } from '../machine.ts'
import { type Drive, type Medium, parseMedium } from '../medium.ts'
import type { Firmware } from '../plan.ts'
import { Refusal } from './answers.ts'
import { BOOT_TARGETS, bootMode, RESET_TYPES } from './resources.ts'

export const BODY_MAX = 16 * 1024

const text = z.string().max(2048)
const login = z.strictObject({ UserName: text, Password: text })
const reset = z.strictObject({ ResetType: z.enum(RESET_TYPES) })
const nothing = z.strictObject({})
const targets = Object.keys(BOOT_TARGETS) as (keyof typeof BOOT_TARGETS)[]
const systemChange = z.strictObject({
  Boot: z.strictObject({
    BootSourceOverrideTarget: z.enum(targets).optional(),
    BootSourceOverrideEnabled: z.enum(['Disabled', 'Once', 'Continuous']).optional(),
    BootSourceOverrideMode: z.enum(['UEFI', 'Legacy']).optional(),
  }),
})
const insertion = z.strictObject({
  Image: text,
  Inserted: z.literal(true).optional(),
  WriteProtected: z.boolean().optional(),
  TransferMethod: z.literal('Stream').optional(),
  TransferProtocolType: z.enum(['HTTP', 'HTTPS']).optional(),
})

export type Login = z.infer<typeof login>
export type ResetType = (typeof RESET_TYPES)[number]

/** @throws {Refusal} */
export function parseLogin(body: Uint8Array): Login {
  return parse(login, body)
}

/** @throws {Refusal} */
export function parseReset(body: Uint8Array): ResetType {
  return parse(reset, body).ResetType
}

/** An action without parameters; its body may be empty, too. @throws {Refusal} */
export function parseNothing(body: Uint8Array): void {
  if (body.length > 0) parse(nothing, body)
}

/**
 * What a PATCH of the system comes to.
 * @param now the override as it is
 * @throws {Refusal}
 */
export function parseBootChange(
  body: Uint8Array,
  firmware: Firmware,
  now: { readonly boot: string; readonly isBootKept: boolean },
): ChassisCommand {
  const { Boot: wanted } = parse(systemChange, body)
  const mode = bootMode(firmware)
  if (wanted.BootSourceOverrideMode !== undefined && wanted.BootSourceOverrideMode !== mode)
    throw new Refusal(400, 'PropertyValueNotInList', `The value of BootSourceOverrideMode is not in the list: ${mode}.`)
  const current = targets.find((target) => BOOT_TARGETS[target] === now.boot) ?? 'None'
  const target = wanted.BootSourceOverrideTarget ?? current
  const enabled = wanted.BootSourceOverrideEnabled ?? (now.isBootKept ? 'Continuous' : 'Once')
  if (enabled === 'Disabled' || wanted.BootSourceOverrideTarget === 'None') return 'boot none'
  if (target !== 'None')
    return enabled === 'Once' ? `boot ${BOOT_TARGETS[target]}` : `boot ${BOOT_TARGETS[target]} always`
  if (wanted.BootSourceOverrideEnabled === undefined) return 'boot none'
  throw new Refusal(400, 'PropertyMissing', 'The property BootSourceOverrideTarget is missing.')
}

/** @throws {Refusal} */
export function parseInsertion(body: Uint8Array, drive: Drive): Medium {
  const wanted = parse(insertion, body)
  const scheme = `${wanted.TransferProtocolType ?? ''}`.toLowerCase()
  const isHttp = /^https?:\/\//i.test(wanted.Image)
  if (!isHttp || (scheme !== '' && !wanted.Image.toLowerCase().startsWith(`${scheme}://`)))
    throw new Refusal(400, 'ActionParameterValueFormatError', 'The value of Image is not an http:// or https:// URL.')
  if (wanted.WriteProtected === false)
    throw new Refusal(400, 'ActionParameterValueNotInList', 'The value of WriteProtected is not in the list: true.')
  try {
    return parseMedium(drive, wanted.Image, false)
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    throw new Refusal(400, 'ActionParameterValueError', error.message)
  }
}

function parse<T>(schema: z.ZodType<T>, body: Uint8Array): T {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    throw new Refusal(400, 'MalformedJSON', 'The request body is not JSON.')
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  const at = issue.path.join('/').slice(0, 200)
  if (issue.code === 'unrecognized_keys')
    throw new Refusal(
      400,
      'PropertyUnknown',
      `The property ${printable(issue.keys[0] ?? '')} is unknown or not writable.`,
    )
  if (issue.code === 'invalid_value')
    throw new Refusal(
      400,
      'PropertyValueNotInList',
      `The value of ${at} is not in the list: ${issue.values.join(', ')}.`,
    )
  throw new Refusal(
    400,
    'PropertyValueError',
    `The value of ${at === '' ? 'the body' : at} is wrong: ${issue.message}.`,
  )
}

function printable(name: string): string {
  return name.slice(0, 64).replaceAll(/[^\x20-\x7e]/g, '?')
}
