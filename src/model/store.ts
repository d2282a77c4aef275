/** What the store takes on the disk, what may go from it, and what is wrong with it: shapes of the API. */
import { z } from 'zod'
import { containerState } from './container.ts'

/** What is counted, in the order in which it is shown; `heading` as people read it. */
export const USAGE_KINDS = {
  images: { heading: 'Images', means: 'layers of images; active: a container uses it' },
  layers: { heading: 'Layers of no image', means: 'left by pulls and imports that did not come to their end' },
  containers: { heading: 'Containers', means: 'their logs and NFS roots; active: it holds a machine' },
  consoles: { heading: 'Machine consoles', means: 'what machines said outside of containers' },
  kits: { heading: 'Kits', means: 'active: the default of an architecture' },
  bootFiles: { heading: 'Boot files', means: 'kernels and initrds that the site brought itself' },
  devices: { heading: 'Device maps', means: 'made anew when they are needed; active: a container uses the image' },
  squashfs: { heading: 'Squashfs files', means: 'made anew when they are needed; active: a container uses the image' },
  transfers: { heading: 'Unfinished pulls', means: 'what has arrived; the next pull goes on from there' },
  uploads: { heading: 'Uploads', means: 'files that are being imported' },
} as const
export type UsageKind = keyof typeof USAGE_KINDS
const usageKind = z.enum(Object.keys(USAGE_KINDS) as [UsageKind, ...UsageKind[]])

const bytes = z.int().min(0)

export const usageRow = z.object({
  kind: usageKind,
  total: z.int(),
  active: z.int(),
  sizeBytes: bytes,
  reclaimableBytes: bytes.describe('what goes when all that is not active is removed'),
})
export type UsageRow = z.infer<typeof usageRow>

export const storeUsage = z.object({
  rows: z.array(usageRow),
  disk: z.object({ sizeBytes: bytes, freeBytes: bytes }).describe('the file system that holds the data'),
  images: z.array(
    z.object({
      id: z.string(),
      references: z.array(z.string()),
      createdAt: z.int().optional(),
      sizeBytes: bytes,
      sharedBytes: bytes.describe('of layers that other images have too'),
      uniqueBytes: bytes.describe('what goes with the image'),
      containers: z.int(),
    }),
  ),
  layers: z.array(
    z.object({
      diffId: z.string(),
      sizeBytes: bytes.describe('with what lies beside it: its index, its hashes'),
      images: z.int().describe('how many images have it'),
      isRotten: z.boolean().describe('a check found its bytes changed; the next pull fetches it again'),
    }),
  ),
  containers: z.array(
    z.object({ id: z.string(), name: z.string(), image: z.string(), state: containerState, sizeBytes: bytes }),
  ),
  kits: z.array(z.object({ digest: z.string(), isDefault: z.boolean(), createdAt: z.int(), sizeBytes: bytes })),
  bootFiles: z.array(z.object({ kind: z.string(), name: z.string(), createdAt: z.int(), sizeBytes: bytes })),
  devices: z.array(z.object({ rootHash: z.string(), imageId: z.string().optional(), sizeBytes: bytes })),
  squashfs: z.array(z.object({ imageId: z.string(), sizeBytes: bytes })),
  transfers: z.array(z.object({ digest: z.string(), changedAt: z.int(), isUnderWay: z.boolean(), sizeBytes: bytes })),
})
export type StoreUsage = z.infer<typeof storeUsage>

export const pruneRequest = z
  .object({
    dryRun: z.boolean().default(false),
    all: z.boolean().default(false).describe('images with a name too, unless a container uses them'),
    until: z.int().exactOptional().describe('only what was made and came here before, milliseconds since the epoch'),
    labels: z.array(z.string().min(1).max(1024)).max(64).default([]).describe('KEY or KEY=VALUE that it must have'),
    notLabels: z.array(z.string().min(1).max(1024)).max(64).default([]).describe('that it must not have'),
  })
  .strict()
export type PruneRequest = z.input<typeof pruneRequest>

export const PRUNE_KINDS = ['container', 'image', 'layer', 'device', 'squashfs', 'transfer', 'log'] as const
export type PruneKind = (typeof PRUNE_KINDS)[number]

export const pruneReport = z.object({
  dryRun: z.boolean(),
  items: z.array(
    z.object({
      kind: z.enum(PRUNE_KINDS),
      id: z.string(),
      names: z.array(z.string()),
      sizeBytes: bytes.describe('an image is only its record: its bytes are its layers'),
    }),
  ),
  reclaimedBytes: bytes,
})
export type PruneReport = z.infer<typeof pruneReport>
export type PruneItem = PruneReport['items'][number]

/** Fast enough for a store of some terabytes in a night, slow enough for the machines that read from the same disk. */
export const CHECK_BYTES_PER_SECOND = 200_000_000

export const checkRequest = z
  .object({
    repair: z.boolean().default(false).describe('fetch or make again what is wrong'),
    bytesPerSecond: bytes
      .default(CHECK_BYTES_PER_SECOND)
      .describe('how fast it reads at most; 0 for as fast as it goes'),
  })
  .strict()
export type CheckRequest = z.input<typeof checkRequest>

export const finding = z.object({
  kind: z.enum(['image', 'layer', 'index', 'leaves', 'device', 'squashfs', 'kit']),
  id: z.string().describe('digest of the image, layer or kit, root hash of the device'),
  images: z.array(z.string()).describe('the images that have it'),
  why: z.string(),
  ranges: z.array(z.object({ from: z.int(), to: z.int() })).describe('bytes of the layer that are wrong, where known'),
  state: z.enum(['found', 'repaired', 'failed']),
  note: z.string().optional().describe('how it was repaired, or why it could not be'),
})
export type Finding = z.infer<typeof finding>

export const checkReport = z.object({
  images: z.int(),
  layers: z.int(),
  devices: z.int(),
  sizeBytes: bytes.describe('of layers that were read'),
  findings: z.array(finding),
})
export type CheckReport = z.infer<typeof checkReport>
