/**
 * The shapes of the HTTP API under /v1 that are not a machine, container or event themselves. The server validates with
 * these schemas and prints the OpenAPI document from them; the client takes their types.
 */
import { z } from 'zod'
import { ERROR_CODES, type ErrorCode } from '../base/errors.ts'
import { container, runOptions } from './container.ts'
import { powerAction, powerState } from './machine.ts'
import { stage } from './stage.ts'

/** What every answer that is not 2xx carries. */
export const errorBody = z.object({
  error: z.object({ code: z.enum(Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]]), message: z.string() }),
})
export type ErrorBody = z.infer<typeof errorBody>

export const systemInfo = z.object({
  version: z.string(),
  isReady: z.boolean().describe('whether everything that it serves has begun'),
  node: z.string(),
  interface: z.string().optional(),
  address: z.string().optional().describe('the address that machines reach this server at'),
  dataDir: z.string(),
  machines: z.int(),
  containers: z.int(),
  images: z.int(),
  kit: z.string().optional().describe('digest of the default kit'),
  problems: z.array(z.string()).describe('what keeps the server from full health, in words'),
})
export type SystemInfo = z.infer<typeof systemInfo>

/** One key of the effective configuration and where its value comes from. */
export const configEntry = z.object({
  key: z.string(),
  value: z.string(),
  origin: z.enum(['default', 'file', 'environment', 'flag']),
})
export type ConfigEntry = z.infer<typeof configEntry>

export const powerRequest = z.object({ action: powerAction }).strict()
export const powerAnswer = z.object({ state: powerState })
export type PowerAnswer = z.infer<typeof powerAnswer>

export const rebootAnswer = z.object({ by: z.enum(['agent', 'bmc']) })
export type RebootAnswer = z.infer<typeof rebootAnswer>

export const imageSummary = z.object({
  id: z.string().describe('digest of the image config, sha256:…'),
  references: z.array(z.string()),
  manifestDigest: z.string().optional(),
  architecture: z.string(),
  os: z.string(),
  createdAt: z.int().optional(),
  sizeBytes: z.int().describe('sum of the layers, uncompressed'),
  layerCount: z.int(),
})
export type ImageSummary = z.infer<typeof imageSummary>

export const imageDetails = imageSummary.extend({
  layers: z.array(z.object({ diffId: z.string(), sizeBytes: z.int() })),
  config: z.record(z.string(), z.unknown()).describe('the OCI image config as it was published'),
  mode: z.enum(['app', 'os']).optional(),
})
export type ImageDetails = z.infer<typeof imageDetails>

export const imageProfile = z.object({
  imageId: z.string(),
  rootHash: z.string().optional().describe('of the block device that machines are given of it'),
  deviceBytes: z.int().optional(),
  profile: z
    .object({
      touchedBytes: z.int(),
      share: z.number().describe('of the device: 0 to 1'),
      ranges: z.int(),
      recordedAt: z.int(),
    })
    .optional(),
  boots: z
    .array(
      z.object({
        isAhead: z.boolean().describe('whether the profile was fetched ahead'),
        bootMs: z.int().describe('from the initrd to running, milliseconds'),
        bytesSent: z.int(),
        at: z.int(),
        containerId: z.string(),
      }),
    )
    .describe('the last boot with and the last one without it'),
})
export type ImageProfileView = z.infer<typeof imageProfile>

export const treeEntry = z.object({
  path: z.string(),
  type: z.enum(['file', 'directory', 'symlink', 'char', 'block', 'fifo']),
  mode: z.int(),
  uid: z.int(),
  gid: z.int(),
  sizeBytes: z.int(),
  mtime: z.number().describe('seconds since the epoch'),
  target: z.string().optional(),
  links: z.int(),
  device: z.string().optional().describe('MAJOR:MINOR'),
  xattrs: z.array(z.string()).describe('names only'),
  layer: z.int().describe('index of the layer that the entry comes from'),
})
export type TreeEntryView = z.infer<typeof treeEntry>

export const treeChange = z.object({
  path: z.string(),
  kind: z.enum(['added', 'removed', 'changed']),
  what: z.string(),
})
export type TreeChangeView = z.infer<typeof treeChange>

export const pullRequest = z
  .object({
    reference: z.string().min(1).max(1024),
    platform: z.string().max(64).optional().describe('os/architecture[/variant]'),
    plainHttp: z.boolean().exactOptional().describe('as configured, and for a loopback registry what it speaks'),
    insecure: z.boolean().exactOptional().describe('as configured when absent'),
    ca: z
      .string()
      .max(1 << 20)
      .exactOptional()
      .describe('certificates of further authorities, PEM'),
    policy: z.enum(['missing', 'always', 'never']).default('always'),
  })
  .strict()
export type PullRequest = z.input<typeof pullRequest>

export const commitRequest = z
  .object({
    reference: z.string().min(1).max(1024).exactOptional().describe('name of the new image'),
    message: z.string().max(65_536).exactOptional(),
    author: z.string().max(1024).exactOptional(),
    changes: z
      .array(z.string().max(65_536))
      .max(128)
      .default([])
      .describe('to the config, in the words of a Dockerfile: CMD, ENTRYPOINT, ENV, …'),
  })
  .strict()
export type CommitRequest = z.input<typeof commitRequest>

/**
 * A line of a progress stream (`text/event-stream`, event `progress`). The stream ends with one event `done`, whose data is
 * the result, or one event `error`, whose data is an ErrorBody.
 */
export const progress = z.object({
  step: z.string().describe('what it is about: a layer, a package, a file'),
  status: z.string().describe('waiting, downloading, verifying, done, …'),
  currentBytes: z.int().optional(),
  totalBytes: z.int().optional(),
})
export type Progress = z.infer<typeof progress>

export const kit = z.object({
  digest: z.string(),
  isDefault: z.boolean(),
  arch: z.string(),
  kernelVersion: z.string(),
  sizeBytes: z.int(),
  createdAt: z.int(),
  packages: z.array(z.object({ name: z.string(), version: z.string(), sha256: z.string() })),
  files: z.array(z.object({ name: z.string(), sizeBytes: z.int(), sha256: z.string() })),
})
export type Kit = z.infer<typeof kit>

/** A kernel or initrd that a site brought itself. */
export const importedFile = z.object({
  name: z.string(),
  kind: z.enum(['kernel', 'initrd']),
  digest: z.string(),
  sizeBytes: z.int(),
  createdAt: z.int(),
})
export type ImportedFile = z.infer<typeof importedFile>

export const waitAnswer = container.pick({ state: true, exitCode: true, cause: true })
export type WaitAnswer = z.infer<typeof waitAnswer>

/** A chunk of a container's log, one JSON object a line. */
export const logChunk = z.object({
  at: z.int().describe('when the server received it, milliseconds since the epoch'),
  stream: z
    .enum(['stdout', 'stderr', 'console', 'note'])
    .describe('`note`: what the server wrote down between the bytes of a console'),
  data: z.string().describe('base64'),
})
export type LogChunk = z.infer<typeof logChunk>

export const pathStat = z.object({
  name: z.string(),
  type: z.enum(['file', 'directory', 'symlink', 'other']),
  mode: z.int(),
  sizeBytes: z.int(),
  target: z.string().optional(),
})
export type PathStat = z.infer<typeof pathStat>

export const topAnswer = z.object({ titles: z.array(z.string()), processes: z.array(z.array(z.string())) })
export type TopAnswer = z.infer<typeof topAnswer>

export const createAnswer = container
export { runOptions as createRequest }

/**
 * The channel of `exec`, `attach` and `console`: a WebSocket whose binary messages start with one byte that says what
 * follows. Bytes of a stream follow `stdin`, `stdout` and `stderr`; a JSON object follows `control`.
 */
export const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, control: 3 } as const

/** Control messages that the client sends. `start` comes first and only in `exec`. */
export const clientControl = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('start'),
    argv: z.array(z.string()).min(1).max(4096),
    env: z.array(z.string()).max(4096).default([]),
    workdir: z.string().max(4096).optional(),
    user: z.string().max(256).optional(),
    tty: z.boolean().default(false),
    stdin: z.boolean().default(false),
    rows: z.int().min(1).max(1000).optional(),
    columns: z.int().min(1).max(1000).optional(),
  }),
  z.object({ type: z.literal('resize'), rows: z.int().min(1).max(1000), columns: z.int().min(1).max(1000) }),
  z.object({ type: z.literal('eof') }),
  z.object({ type: z.literal('signal'), signal: z.string().max(32) }),
  z.object({ type: z.literal('break') }).describe('console: a serial break'),
  z.object({ type: z.literal('take-over') }).describe('console: write from now on, whoever did'),
])
export type ClientControl = z.input<typeof clientControl>

/** Control messages that the server sends. The channel ends with `exit`, `detached` or `error`. */
export const serverControl = z.discriminatedUnion('type', [
  z.object({ type: z.literal('stage'), stage: stage, at: z.int() }),
  z.object({ type: z.literal('exit'), code: z.int() }),
  z.object({ type: z.literal('error'), error: errorBody.shape.error }),
  z.object({ type: z.literal('notice'), text: z.string() }).describe('console: a gap, dropped bytes, who writes'),
  z
    .object({ type: z.literal('writer'), isWriter: z.boolean(), text: z.string() })
    .describe('console: whether what this client sends is typed, and why not where it had asked to'),
])
export type ServerControl = z.infer<typeof serverControl>
