/** Platforms of images as this service asks for them; their grammar and order are in formats/oci/platform. */
import type { Index, Platform } from '../../formats/oci/image.ts'
import { formatPlatform, platformDistance } from '../../formats/oci/platform.ts'

/** Whether an image of platform `offered` runs where `wanted` is asked for. */
export function fits(wanted: Platform, offered: Platform): boolean {
  return platformDistance(wanted, offered) !== undefined
}

/** The platforms of an index in words, for an error. */
export function listPlatforms({ manifests }: Pick<Index, 'manifests'>): string {
  const known = manifests
    .map(({ platform }) => platform)
    .filter((platform): platform is Platform => platform !== undefined && platform.os !== 'unknown')
  return [...new Set(known.map(formatPlatform))].slice(0, 20).join(', ') || 'none that are named'
}
