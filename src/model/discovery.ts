/** BMCs that were found on the network, what they said of their systems, and what an import would make of that. */
import { z } from 'zod'
import { errorBody } from './api.ts'
import { inventory, inventoryFinding } from './inventory.ts'

export const probeName = z.enum(['redfish', 'ipmi', 'ssdp'])
export type ProbeName = z.infer<typeof probeName>

/** A scan asks at most so many addresses: a /16. */
export const SCAN_LIMIT = 65_536

const port = z.int().min(1).max(65_535)

export const scanRequest = z
  .object({
    subnets: z
      .array(z.string().max(64))
      .max(256)
      .default([])
      .describe(
        '10.0.3.0/24, 10.0.3.7, 10.0.3.1-10.0.3.20; none is needed for ssdp, of which others are then left out',
      ),
    port: port.default(443).describe('of Redfish'),
    ipmiPort: port.default(623),
    plainHttp: z.boolean().default(false).describe('for BMCs without TLS'),
    concurrency: z.int().min(1).max(1024).default(256).describe('connections at once'),
    timeoutMs: z.int().min(100).max(60_000).default(2000).describe('how long one address may take, milliseconds'),
    probes: z
      .array(probeName)
      .min(1)
      .max(3)
      .default(['redfish', 'ipmi'])
      .describe('ssdp asks the networks that the server is on which Redfish services there are'),
  })
  .strict()
export type ScanRequest = z.output<typeof scanRequest>

/** What a service root says to everybody. */
export const redfishSeen = z.object({
  origin: z.string().max(300).describe('https://10.0.3.7'),
  version: z.string().max(256).optional(),
  vendor: z.string().max(256).optional(),
  product: z.string().max(256).optional(),
  uuid: z.string().max(64).optional(),
  fingerprint: z.string().max(64).optional().describe('SHA-256 of the certificate that it showed'),
})
export type RedfishSeen = z.infer<typeof redfishSeen>

export const ipmiSeen = z.object({
  port,
  version: z.enum(['1.5', '2.0']).optional(),
  enterprise: z.int().optional().describe('IANA number of its maker, as its ASF pong has it'),
})
export type IpmiSeen = z.infer<typeof ipmiSeen>

/** How a BMC that is no authority's is known to be itself before it is told a password. */
export const bmcTrust = z.enum(['authorities', 'first-use', 'anyone'])
export type BmcTrust = z.infer<typeof bmcTrust>

export const discoveredBmc = z.object({
  address: z.string().max(256),
  redfish: redfishSeen.optional(),
  ipmi: ipmiSeen.optional(),
  findings: z.array(inventoryFinding).max(64).default([]),
  seenAt: z.int().describe('milliseconds since the epoch'),
  crawledAt: z.int().optional(),
  user: z.string().max(256).optional().describe('that it was crawled as'),
  trust: bmcTrust.optional().describe('how it was crawled'),
  systems: z.array(inventory).max(64).default([]),
})
export type DiscoveredBmc = z.infer<typeof discoveredBmc>

export const crawlRequest = z
  .object({
    bmcs: z
      .array(z.string().max(256))
      .max(4096)
      .default([])
      .describe('addresses, https://HOST[:PORT] or ipmi://HOST[:PORT]; all that were found when empty'),
    user: z.string().min(1).max(256),
    password: z.string().min(1).max(256),
    trust: bmcTrust
      .default('authorities')
      .describe('first-use: the certificate that the scan saw, or that is seen now, and no other from then on'),
    ca: z
      .string()
      .max(1 << 20)
      .optional()
      .describe('certificates of further authorities, PEM'),
    concurrency: z.int().min(1).max(256).default(32).describe('BMCs at once'),
    timeoutMs: z.int().min(1000).max(3_600_000).default(300_000).describe('how long one BMC may take, milliseconds'),
  })
  .strict()
export type CrawlRequest = z.output<typeof crawlRequest>

/** One BMC of a crawl: what it said, or why it was not read. */
export const crawlResult = z.object({
  bmc: discoveredBmc.optional(),
  address: z.string(),
  error: errorBody.shape.error.optional(),
})
export type CrawlResult = z.infer<typeof crawlResult>

export const importRequest = z
  .object({
    bmcs: z.array(z.string().max(256)).max(4096).default([]).describe('addresses; all that were crawled when empty'),
    dryRun: z.boolean().default(false),
  })
  .strict()
export type ImportRequest = z.output<typeof importRequest>

export const importStep = z.object({
  action: z.enum(['add', 'update', 'skip']),
  machine: z.string().optional().describe('its name'),
  address: z.string().describe('of the BMC'),
  system: z.string().optional().describe('path of the system on its BMC'),
  matchedBy: z.array(z.enum(['serial', 'uuid', 'mac'])).default([]),
  changes: z.array(z.string()).default([]).describe('what would change, or has, in words'),
  why: z.string().optional().describe('why it is skipped'),
})
export type ImportStep = z.infer<typeof importStep>

export const importAnswer = z.object({ steps: z.array(importStep), isDryRun: z.boolean() })
export type ImportAnswer = z.infer<typeof importAnswer>
