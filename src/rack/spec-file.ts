/** `rack.json`: RackSpec as text, and back with every field checked, because people edit files. */
import { z } from 'zod'
import { AppError } from '../base/errors.ts'
import { BMCS, FIRMWARES, NIC_ROMS, NICS, type RackSpec } from './plan.ts'

const machine = z.strictObject({
  name: z.string().regex(/^rack-\d{1,2}$/),
  index: z.int().min(1).max(64),
  mac: z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/),
  uuid: z.guid(),
  serial: z.string().regex(/^[A-Z0-9-]{1,64}$/),
  firmware: z.enum(FIRMWARES),
  memoryMiB: z.int().positive(),
  diskMiB: z.int().min(0),
  nic: z.enum(NICS),
  nicRom: z.enum(NIC_ROMS),
  bmcAddress: z.ipv4(),
})

const spec = z.strictObject({
  version: z.literal(1),
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,30}$/),
  rackId: z.string().regex(/^[0-9a-f]{32}$/),
  bmc: z.enum(BMCS),
  machines: z.array(machine).min(1).max(64),
})

export function serializeSpec(value: RackSpec): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

/**
 * @param file the path, for the message only
 * @throws {AppError} invalid, naming the file and the field
 */
export function parseSpec(text: string, file: string): RackSpec {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new AppError('invalid', `Cannot read rack file "${file}": it is not JSON; remove its folder by hand`, {
      cause,
    })
  }
  const parsed = spec.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  throw new AppError(
    'invalid',
    `Cannot read rack file "${file}": ${issue.path.join('.') || 'the document'}: ${issue.message}; remove its folder by hand`,
  )
}
