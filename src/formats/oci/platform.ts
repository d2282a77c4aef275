/** Platforms of images: names as Go's GOOS and GOARCH with a variant, and which one a machine takes out of an index. */
import { AppError } from '../../base/errors.ts'
import type { Descriptor, Index, Platform } from './image.ts'
import { INDEX_TYPES, MANIFEST_TYPES } from './media-types.ts'

/** What people and kernels call an architecture, as the specification's name and variant. */
const ARCHITECTURES: Readonly<Record<string, readonly [architecture: string, variant: string]>> = {
  x86_64: ['amd64', ''],
  'x86-64': ['amd64', ''],
  i386: ['386', ''],
  i686: ['386', ''],
  aarch64: ['arm64', ''],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
  armv7l: ['arm', 'v7'],
}

/** The variant that an architecture without one means. */
const DEFAULT_VARIANTS: Readonly<Record<string, string>> = { arm64: 'v8', arm: 'v7', amd64: 'v1' }

/**
 * Reads `os/architecture[/variant]`, or an architecture alone for Linux.
 * @throws {AppError} `invalid`
 */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split('/')
  const [os, named, given] = parts.length === 1 ? ['linux', ...parts] : parts
  const isGood = parts.length <= 3 && named !== 'linux' && parts.every((part) => /^[a-z0-9_.-]{1,64}$/.test(part))
  if (!isGood || os === undefined || named === undefined)
    throw new AppError('invalid', `Cannot read platform "${text.slice(0, 100)}": it is not os/architecture[/variant]`)
  const [architecture, variant] = (Object.hasOwn(ARCHITECTURES, named) && ARCHITECTURES[named]) || [named, '']
  return { os, architecture, variant: given ?? variant, osVersion: '', osFeatures: [] }
}

export function formatPlatform({ os, architecture, variant }: Platform): string {
  return variant === '' ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`
}

/**
 * How well an image of `offered` runs where `wanted` is asked for: 0 for equal, more for an older variant that the machine
 * runs too, undefined where it does not run.
 */
export function platformDistance(wanted: Platform, offered: Platform): number | undefined {
  if (wanted.os !== offered.os || wanted.architecture !== offered.architecture) return undefined
  const [want, have] = [level(wanted), level(offered)]
  if (want === undefined || have === undefined) return variantOf(wanted) === variantOf(offered) ? 0 : undefined
  return have <= want ? want - have : undefined
}

/** The manifest of an index that fits best, or undefined. An entry without platform is taken only where it is the only one. */
export function choosePlatform(index: Index, wanted: Platform): Descriptor | undefined {
  const images = index.manifests.filter(({ mediaType }) => MANIFEST_TYPES.has(mediaType) || INDEX_TYPES.has(mediaType))
  let best: { distance: number; descriptor: Descriptor } | undefined
  for (const descriptor of images) {
    const distance = descriptor.platform && platformDistance(wanted, descriptor.platform)
    if (distance !== undefined && (best === undefined || distance < best.distance)) best = { distance, descriptor }
  }
  if (best !== undefined) return best.descriptor
  return images.length === 1 && images[0]!.platform === undefined ? images[0] : undefined
}

function variantOf({ architecture, variant }: Platform): string {
  if (variant !== '') return variant
  return (Object.hasOwn(DEFAULT_VARIANTS, architecture) && DEFAULT_VARIANTS[architecture]) || ''
}

/** 7 of `v7`; later levels of arm, arm64 and amd64 run what was built for earlier ones. */
function level(platform: Platform): number | undefined {
  const match = /^v([0-9]{1,2})$/.exec(variantOf(platform))
  return match ? Number(match[1]) : undefined
}
