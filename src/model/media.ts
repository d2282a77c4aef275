/** The forms of virtual media, and what may be asked of one. */
import { z } from 'zod'

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

export const DEFAULT_MEDIA_LABEL = 'BAREBOAT'

/** A medium as it is asked for, beside what is to be on it. */
export const mediaOptions = z.object({
  format: z.enum(mediaFormats),
  size: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional().describe('of the whole medium, bytes'),
  label: z.string().min(1).max(32).default(DEFAULT_MEDIA_LABEL).describe('of its file system'),
})
export type MediaOptions = z.infer<typeof mediaOptions>
