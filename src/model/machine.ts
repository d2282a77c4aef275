/** Machines: what we know of them, and which of them a container asks for. */
import { z } from 'zod'

/**
 * Six pairs of hexadecimal digits, lower case, separated by colons; `-` separators and upper case are read as well. What is no
 * address of one network card is none: boards without one say zeros, and bit 0 of the first byte means a group (IEEE 802 §8.2).
 */
export const mac = z
  .string()
  .transform((text) => text.toLowerCase().replaceAll('-', ':'))
  .pipe(z.string().regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/, 'is not a MAC address such as 52:54:00:12:34:56'))
  .refine(
    (text) => text !== '00:00:00:00:00:00' && (Number.parseInt(text, 16) & 1) === 0,
    'is not the MAC address of one network card',
  )

/** The names that docker allows for a container, which machines share. */
export const name = z
  .string()
  .max(128)
  .regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/, 'is not a name: letters, digits, _ . - after a letter or digit')

export const labels = z.record(z.string().max(256), z.string().max(4096))
export const arch = z.enum(['amd64', 'arm64'])
export type Arch = z.infer<typeof arch>

/** SMBIOS system UUID, lower case. Firmware makes some of serial numbers: their version and variant bits say nothing (RFC 9562 §4). */
export const systemUuid = z.guid().toLowerCase()

export const machineSpec = z
  .object({
    name,
    macs: z
      .array(mac)
      .min(1)
      .max(32)
      .describe('MAC addresses of its network interfaces; the first is the boot interface'),
    uuid: systemUuid.optional().describe('SMBIOS system UUID'),
    ip: z.ipv4().optional().describe('address that DHCP gives it; taken from the pool when absent'),
    arch: arch.default('amd64'),
    rank: z.int().min(0).max(1_000_000).default(0),
    groups: z.array(name).max(64).default([]),
    labels: labels.default({}),
    firmware: z.enum(['bios', 'uefi']).optional().describe('learned from its DHCP requests when absent'),
    memoryMiB: z.int().positive().optional().describe('learned at its first boot when absent'),
    bmc: z
      .string()
      .max(1024)
      .optional()
      .describe('such as ipmi://USER@HOST[:PORT], http://HOST:PORT, wol:; never with a password'),
    bmcPassword: z.string().max(256).optional().describe('write only'),
    enabled: z.boolean().default(true),
  })
  .strict()
export type MachineSpec = z.infer<typeof machineSpec>

/** What a machine may be used for: containers run on those that somebody accepted. One that is added by hand is accepted. */
export const admission = z.enum(['discovered', 'accepted', 'rejected'])
export type Admission = z.infer<typeof admission>

export const powerState = z.enum(['on', 'off', 'unknown'])

/** A machine as it is stored and shown. The BMC's password is never part of it. */
export const machine = machineSpec.omit({ bmcPassword: true }).extend({
  id: z.string(),
  hasBmcPassword: z.boolean(),
  admission: admission.describe('discovered: it came by itself, and waits until somebody accepts or rejects it'),
  cordoned: z.boolean().describe('what runs on it goes on; nothing new is started'),
  createdAt: z.int().describe('milliseconds since the epoch'),
  containerId: z.string().optional().describe('the live container that it belongs to'),
  leasedIp: z.ipv4().optional(),
})
export type Machine = z.infer<typeof machine>

/** What `machine set` may change; an absent field stays. */
export const machineChange = machineSpec.omit({ name: true }).partial().strict()
export type MachineChange = z.infer<typeof machineChange>

/** What a person decides about a machine. */
export const acceptRequest = z.object({ name: name.exactOptional().describe('what it is called from now on') }).strict()
export type AcceptRequest = z.infer<typeof acceptRequest>

export const powerAction = z.enum(['on', 'off', 'cycle', 'soft-off'])
export type PowerAction = z.infer<typeof powerAction>

/** `any`, `eq N`, `ge N` or `le N` (the manual's rank expressions). */
export const rankExpression = z
  .string()
  .regex(/^(any|(eq|ge|le) \d{1,7})$/, "is not a rank expression: any, 'eq N', 'ge N' or 'le N'")

/** Whether a machine's rank satisfies every expression. */
export function matchesRank(rank: number, expressions: readonly string[]): boolean {
  return expressions.every((expression) => {
    const [operator, number] = expression.split(' ')
    const wanted = Number(number)
    if (operator === 'eq') return rank === wanted
    if (operator === 'ge') return rank >= wanted
    if (operator === 'le') return rank <= wanted
    return true
  })
}
