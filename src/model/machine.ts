/** Machines: what we know of them, and which of them a container asks for. */
import { z } from 'zod'
import { isOneCard, MAC_TEXT, normaliseMac, parseMac } from '../base/mac.ts'
import { parseXname } from '../base/xname.ts'
import { ROLES } from '../base/roles.ts'

/** Six pairs of hexadecimal digits, lower case, separated by colons; `-` separators and upper case are read as well. */
export const mac = z
  .string()
  .transform(normaliseMac)
  .pipe(z.string().regex(MAC_TEXT, 'is not a MAC address such as 52:54:00:12:34:56'))
  .refine(isOneCard, 'is not the MAC address of one network card')

/** The names that docker allows for a container, which machines share. */
export const name = z
  .string()
  .max(128)
  .regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/, 'is not a name: letters, digits, _ . - after a letter or digit')

/** Groups as SMD names them: a colon too. */
export const groupName = z
  .string()
  .max(128)
  .regex(
    /^[a-zA-Z0-9][a-zA-Z0-9_.:-]*$/,
    'is not the name of a group: letters, digits, _ . : - after a letter or digit',
  )

const nodeXname = z
  .string()
  .max(64)
  .transform((text) => parseXname(text)?.text ?? text)
  .pipe(z.string())
  .refine((text) => parseXname(text)?.kind === 'node', 'is not the xname of a node such as x1000c1s7b0n0')

const bmcXname = z
  .string()
  .max(64)
  .transform((text) => parseXname(text)?.text ?? text)
  .pipe(z.string())
  .refine((text) => parseXname(text)?.kind === 'bmc', 'is not the xname of a BMC such as x1000c1s7b0')

const ipAddress = z.union([z.ipv4(), z.ipv6()])

/** A network interface with its addresses; DHCP gives the first IPv4 address of it. */
export const machineInterface = z
  .object({
    mac,
    addresses: z
      .array(z.object({ name: z.string().max(128).optional().describe('of the network'), ip: ipAddress }).strict())
      .max(64)
      .default([]),
  })
  .strict()
export type MachineInterface = z.infer<typeof machineInterface>

export const role = z.enum(ROLES)
export type Role = z.infer<typeof role>

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
    groups: z.array(groupName).max(64).default([]),
    labels: labels.default({}),
    firmware: z.enum(['bios', 'uefi']).optional().describe('learned from its DHCP requests when absent'),
    memoryMiB: z.int().positive().optional().describe('learned at its first boot when absent'),
    bmc: z
      .string()
      .max(1024)
      .optional()
      .describe(
        'such as ipmi://USER@HOST[:PORT], redfish://USER@HOST, amt://USER@HOST, pikvm://USER@HOST, http://HOST:PORT, wol:, manual:; never with a password',
      ),
    bmcPassword: z.string().max(256).optional().describe('write only'),
    enabled: z.boolean().default(true).describe('a disabled machine gets no container, and no answer when it boots'),
    xname: nodeXname.optional().describe('name by place, x<cabinet>c<chassis>s<slot>b<bmc>n<node>'),
    nid: z.int().min(0).optional().describe('node identifier: a number that no other machine has'),
    role: role.optional().describe('Compute when absent'),
    interfaces: z
      .array(machineInterface)
      .max(32)
      .optional()
      .describe(
        'addresses by interface; each is one of macs, and ip goes before the first address of the boot interface',
      ),
    bmcName: name.optional().describe('of the BMC, where the inventory has one'),
    bmcXname: bmcXname.optional().describe('of the BMC, where it is not that of the machine without its node'),
    bmcMac: mac.optional().describe('of the BMC'),
    bmcIp: ipAddress.optional().describe('of the BMC, as the inventory has it; how to speak to it says bmc'),
    bmcFqdn: z.string().max(253).optional().describe('of the BMC'),
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

/**
 * `fast`: where partition tables, file systems and volume managers begin and end; `zeroes`: every byte; `secure-erase`: the disk itself, with
 * what it keeps aside. All are read back.
 */
export const wipeMethod = z.enum(['fast', 'zeroes', 'secure-erase'])
export type WipeMethod = z.infer<typeof wipeMethod>

export const wipeRequest = z
  .object({
    disks: z.array(z.string().min(1).max(256)).min(1).max(64).describe('serial numbers'),
    method: wipeMethod.default('fast'),
    confirm: z.string().max(128).describe('the name of the machine, as a person typed it'),
  })
  .strict()
export type WipeRequest = z.infer<typeof wipeRequest>

export const wipe = z.object({
  id: z.string(),
  machineId: z.string(),
  serial: z.string(),
  sizeBytes: z.int(),
  method: wipeMethod,
  state: z.enum(['waiting', 'running', 'done', 'failed']),
  cause: z.string().optional().describe('why it failed'),
  verified: z.string().optional().describe('what was read back'),
  askedAt: z.int().describe('milliseconds since the epoch'),
  endedAt: z.int().optional(),
})
export type Wipe = z.infer<typeof wipe>

export const powerAction = z.enum(['on', 'off', 'cycle', 'soft-off'])
export type PowerAction = z.infer<typeof powerAction>

/** `any`, `eq N`, `ge N` or `le N` (the manual's rank expressions). */
export const rankExpression = z
  .string()
  .regex(/^(any|(eq|ge|le) \d{1,7})$/, "is not a rank expression: any, 'eq N', 'ge N' or 'le N'")

/** What a machine is called by, beside the first digits of its id. */
type Named = Pick<Machine, 'id' | 'name' | 'macs' | 'xname' | 'nid'>

/**
 * The machine that is called so: by name or id; else by xname, however it is written; else by nid, as `nid:12`, `nid12` or
 * `nid0012`; else by the MAC of one of its interfaces.
 */
export function machineCalled<M extends Named>(machines: readonly M[], reference: string): M | undefined {
  const exact = machines.find(({ name, id }) => name === reference || id === reference)
  if (exact) return exact
  const xname = parseXname(reference)?.text
  if (xname !== undefined) return machines.find((machine) => machine.xname === xname)
  const nid = /^nid:?(\d{1,16})$/i.exec(reference)?.[1]
  if (nid !== undefined) return machines.find((machine) => machine.nid === Number(nid))
  const mac = parseMac(reference)
  return mac === undefined ? undefined : machines.find(({ macs }) => macs.includes(mac))
}

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
