/** The forms of virtual media, and what may be asked of one. */
import { z } from 'zod'
import { kernelParameter } from './container.ts'
import { name } from './machine.ts'

export const MEDIA_FORMATS = {
  fat32: {
    mediaType: 'application/octet-stream',
    suffixes: ['.fat', '.vfat'],
    means: 'a FAT file system without a partition table, as a flash drive; for UEFI',
  },
  gpt: {
    mediaType: 'application/octet-stream',
    suffixes: ['.img', '.raw'],
    means: 'a disk with an EFI system partition; for UEFI',
  },
  iso: {
    mediaType: 'application/vnd.efi.iso',
    suffixes: ['.iso'],
    means: 'an ISO image, as an optical drive or a flash drive; for UEFI and BIOS',
  },
} as const

export type MediaFormat = keyof typeof MEDIA_FORMATS
export const mediaFormats = Object.keys(MEDIA_FORMATS) as [MediaFormat, ...MediaFormat[]]

/** What a machine takes a medium for. */
export const mediumKinds = ['cd', 'usb'] as const
export type MediumKind = (typeof mediumKinds)[number]

export const DEFAULT_MEDIA_LABEL = 'BAREBOAT'

/** A medium as it is asked for, beside what is to be on it. */
export const mediaOptions = z.object({
  format: z.enum(mediaFormats),
  size: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional().describe('of the whole medium, bytes'),
  label: z.string().min(1).max(32).default(DEFAULT_MEDIA_LABEL).describe('of its file system'),
})
export type MediaOptions = z.infer<typeof mediaOptions>

/** A kernel and an initrd that were imported, and what the kernel is started with beside what every boot gets. */
export const bootPair = z.object({
  kernel: name,
  initrd: name,
  kernelParams: z.array(kernelParameter).max(128).default([]),
})
export type BootPair = z.infer<typeof bootPair>

/** What a medium for a machine is made of; a file is sent instead. */
export const mediumSource = z.union([
  z.object({ image: z.string().min(1).max(1024).describe('boots it without a server') }).strict(),
  z.object({ loader: z.literal(true).describe('has the machine ask this server what it is to be') }).strict(),
  z.object({ pair: bootPair }).strict(),
])
export type MediumSource = z.infer<typeof mediumSource>

/** Seconds after which a medium is taken out by itself, unless somebody says otherwise, and at most. */
export const MEDIUM_SECONDS = 24 * 3600
export const MAX_MEDIUM_SECONDS = 30 * 24 * 3600

/** How a medium is put into a machine. */
export const attachOptions = z.object({
  kind: z.enum(mediumKinds).optional().describe('what it is to the machine; else what it looks like'),
  drive: z.string().max(128).optional().describe('of the BMC; else the first that is empty and plays it'),
  isWritable: z.boolean().default(false).describe('what the machine writes is not kept here'),
  boot: z.boolean().default(false).describe('boot from it once: the machine is switched on'),
  cycle: z.boolean().default(false).describe('with boot: also a machine that is on, which is switched off first'),
  expiresSeconds: z
    .int()
    .min(60)
    .max(MAX_MEDIUM_SECONDS)
    .default(MEDIUM_SECONDS)
    .describe('until it is taken out by itself'),
})
export type AttachOptions = z.infer<typeof attachOptions>

export const attachRequest = attachOptions.extend({
  source: mediumSource,
  format: z.enum(mediaFormats).default('iso'),
  label: z.string().min(1).max(32).default(DEFAULT_MEDIA_LABEL),
})
export type AttachRequest = z.infer<typeof attachRequest>

/** A medium of this server in a machine. */
export const attachedMedium = z.object({
  name: z.string().describe('of the file, as the BMC is told it'),
  of: z.string().describe('what it was made of'),
  drive: z.string().describe('of the BMC'),
  kind: z.enum(mediumKinds),
  isWritable: z.boolean(),
  sizeBytes: z.int(),
  state: z.enum(['attaching', 'attached', 'detaching']),
  container: z.string().optional().describe('id of the container that it is for'),
  createdAt: z.int(),
  expiresAt: z.int().describe('when it is taken out by itself'),
  readAt: z.int().optional().describe('when it was first asked for'),
})
export type AttachedMedium = z.infer<typeof attachedMedium>

export const machineDrive = z.object({
  id: z.string().describe('as the BMC names it'),
  kinds: z.array(z.enum(mediumKinds)),
  inserted: z.string().optional().describe('what is in it, as the BMC says'),
  isWriteProtected: z.boolean().optional(),
  isOurs: z.boolean().describe('what is in it is the medium of this server'),
})
export type MachineDrive = z.infer<typeof machineDrive>

export const machineMedia = z.object({
  drives: z.array(machineDrive).describe('read from the BMC now'),
  medium: attachedMedium.optional().describe('what this server has attached, or is about to'),
})
export type MachineMedia = z.infer<typeof machineMedia>
