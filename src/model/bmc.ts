/** What a BMC says of itself and of its machine, in words that IPMI and Redfish share. */
import { z } from 'zod'

export const bmcInfo = z.object({
  address: z.string(),
  protocol: z.string().describe('e.g. IPMI 2.0'),
  manufacturer: z.string().optional(),
  product: z.string().optional(),
  firmware: z.string().optional(),
  guid: z.string().optional().describe('of the system; of most makes its SMBIOS UUID'),
  mac: z.string().optional().describe("of the BMC's own network interface, not of its machine"),
  cipherSuite: z.int().optional().describe('of the IPMI session: 17 or 3'),
  power: z
    .object({
      currentWatts: z.number(),
      minimumWatts: z.number().optional(),
      maximumWatts: z.number().optional(),
      averageWatts: z.number().optional(),
      periodSeconds: z.number().optional().describe('what minimum, maximum and average are of'),
    })
    .optional()
    .describe('absent where the BMC does not measure it'),
  can: z.array(z.string()).describe('what can be asked of this BMC'),
})
export type BmcInfo = z.infer<typeof bmcInfo>

/** From the BMC's own thresholds or health; `unavailable`: no valid reading now, as of a machine that is off. */
export const sensorStatus = z.enum(['ok', 'warning', 'critical', 'non-recoverable', 'unavailable'])
export type SensorStatus = z.infer<typeof sensorStatus>

export const bmcSensor = z.object({
  name: z.string(),
  type: z.string().describe('e.g. Temperature, Fan, Power Supply'),
  value: z.number().optional(),
  unit: z.string().optional().describe('e.g. degrees C, RPM, Volts'),
  status: sensorStatus,
  states: z.array(z.string()).describe('asserted states of a sensor without a value'),
  thresholds: z
    .object({
      lowerNonCritical: z.number(),
      lowerCritical: z.number(),
      lowerNonRecoverable: z.number(),
      upperNonCritical: z.number(),
      upperCritical: z.number(),
      upperNonRecoverable: z.number(),
    })
    .partial(),
})
export type BmcSensor = z.infer<typeof bmcSensor>

const custom = z.array(z.string()).describe("fields of the maker's own")

export const bmcFru = z.object({
  id: z.int(),
  name: z.string(),
  chassis: z
    .object({
      type: z.string().optional(),
      partNumber: z.string().optional(),
      serial: z.string().optional(),
      custom,
    })
    .optional(),
  board: z
    .object({
      madeAt: z.int().optional().describe('milliseconds since the epoch'),
      manufacturer: z.string().optional(),
      name: z.string().optional(),
      serial: z.string().optional(),
      partNumber: z.string().optional(),
      fruFileId: z.string().optional(),
      custom,
    })
    .optional(),
  product: z
    .object({
      manufacturer: z.string().optional(),
      name: z.string().optional(),
      partNumber: z.string().optional(),
      version: z.string().optional(),
      serial: z.string().optional(),
      assetTag: z.string().optional(),
      fruFileId: z.string().optional(),
      custom,
    })
    .optional(),
  problems: z.array(z.string()).describe('parts that could not be read, and why'),
})
export type BmcFru = z.infer<typeof bmcFru>

export const selEntry = z.object({
  id: z.int(),
  at: z.int().optional().describe("milliseconds since the epoch, by the BMC's clock; absent where it did not know"),
  sinceStartSeconds: z.int().optional().describe('instead of `at` where its clock was not set'),
  sensor: z.string(),
  type: z.string(),
  event: z.string(),
  isAsserted: z.boolean().optional().describe('false: the state has ended'),
  value: z.number().optional(),
  threshold: z.number().optional(),
  unit: z.string().optional(),
})
export type SelEntry = z.infer<typeof selEntry>

export const bmcSel = z.object({
  entries: z.array(selEntry).describe('oldest first'),
  freeBytes: z.int().optional(),
  hasOverflowed: z.boolean().describe('entries were lost because it was full'),
})
export type BmcSel = z.infer<typeof bmcSel>

export const bmcUser = z.object({
  id: z.int(),
  name: z.string(),
  isEnabled: z.boolean().optional().describe('absent where the BMC does not say'),
  privilege: z.string().describe('callback, user, operator, administrator, oem or none'),
})
export type BmcUser = z.infer<typeof bmcUser>

export const bmcFinding = z.object({
  finding: z.string().describe('a name that stays the same, e.g. cipher-suite-0'),
  severity: z.enum(['critical', 'warning', 'info']),
  message: z.string(),
  help: z.string(),
})
export type BmcFinding = z.infer<typeof bmcFinding>

export const identifyRequest = z
  .object({
    seconds: z.int().min(0).max(255).optional().describe('0 turns the light off; absent: until it is turned off'),
  })
  .strict()
export type IdentifyRequest = z.infer<typeof identifyRequest>

export const bmcSetupRequest = z
  .object({
    user: z
      .string()
      .regex(/^[A-Za-z][A-Za-z0-9_-]{0,15}$/, 'is not a user of a BMC: a letter, then up to 15 letters, digits, _ or -')
      .default('bareboat'),
    privilege: z.enum(['operator', 'administrator']).default('administrator'),
    rotate: z.boolean().default(false).describe('a new password for the user that was set up before'),
    replace: z.boolean().default(false).describe('in place of the BMC URL that the machine has'),
  })
  .strict()
export type BmcSetupRequest = z.infer<typeof bmcSetupRequest>

export const bmcSetupAnswer = z.object({
  outcome: z
    .enum(['created', 'rotated', 'mended', 'unchanged'])
    .describe('mended: its rights or its address were not as they should be'),
  user: z.string(),
  userId: z.int(),
  privilege: z.string(),
  bmc: z.string().describe("the machine's BMC URL now"),
})
export type BmcSetupAnswer = z.infer<typeof bmcSetupAnswer>

/** What can be recorded: power, and what reads. */
export const RECORDABLE = ['status', 'on', 'off', 'cycle', 'soft-off', 'info', 'sensors', 'fru', 'sel'] as const
export type Recordable = (typeof RECORDABLE)[number]
export const recordRequest = z.object({
  operation: z.enum(RECORDABLE),
  named: z.boolean().optional().describe("leave the BMC's address and user in it"),
})
export type RecordRequest = z.infer<typeof recordRequest>

const concluded = z.object({
  value: z.unknown().optional().describe('what the operation yields; null where it yields nothing'),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
  isCut: z.boolean().optional().describe('the recording became too long: exchanges are missing'),
})
export const bmcReplay = z.object({
  operation: z.enum(RECORDABLE),
  protocol: z.string(),
  at: z.int().describe('when it was recorded, milliseconds since the epoch'),
  release: z.string().describe('the release that recorded it'),
  steps: z.array(z.string()).describe('what passed between the driver and the recording'),
  then: concluded.describe('what was concluded when it was recorded'),
  now: concluded.describe('what the driver concludes from it now'),
})
export type BmcReplay = z.infer<typeof bmcReplay>
