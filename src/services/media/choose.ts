/** Which drive takes a medium, and what it is called there. */
import { AppError } from '../../base/errors.ts'
import type { MediumKind } from '../../model/media.ts'
import type { BmcDrive } from '../power/power-port.ts'

/**
 * As what a medium may be shown, the best first.
 * @param isHybrid it starts as a flash drive too, as every ISO image of ours
 */
export function kindsFor(isIso: boolean, isHybrid: boolean): readonly MediumKind[] {
  if (!isIso) return ['usb']
  return isHybrid ? ['cd', 'usb'] : ['cd']
}

/**
 * The drive that is named, or the first that is empty and plays it.
 * @throws {AppError} conflict where something is in it, which is named; unsupported where none plays it; not_found for one that is not there
 */
export function chooseDrive(
  drives: readonly BmcDrive[],
  kinds: readonly MediumKind[],
  wanted: string | undefined,
  machine: string,
): { drive: BmcDrive; kind: MediumKind } {
  const cannot = `Cannot attach a medium to "${machine}"`
  if (drives.length === 0)
    throw new AppError('unsupported', `${cannot}: its BMC has no virtual drives; some need a licence for them`)
  const named = wanted === undefined ? drives : drives.filter(({ id }) => id === wanted)
  const list = drives.map(({ id, kinds: plays }) => `${id} (${plays.join(', ')})`).join(', ')
  if (named.length === 0) throw new AppError('not_found', `${cannot}: its BMC has no drive "${wanted}", but ${list}`)
  const fits = kinds.flatMap((kind) =>
    named.filter(({ kinds: plays }) => plays.includes(kind)).map((drive) => ({ drive, kind })),
  )
  if (fits.length === 0)
    throw new AppError(
      'unsupported',
      `${cannot}: no drive of its BMC plays it as ${kinds.join(' or ')}: there is ${list}; --as says what it is to be`,
    )
  const free = fits.find(({ drive }) => drive.inserted === undefined)
  if (free) return free
  const full = [...new Set(fits.map(({ drive }) => `"${drive.id}" holds "${lastPart(drive.inserted!)}"`))].join(', ')
  throw new AppError(
    'conflict',
    `${cannot}: drive ${full}, which stays there; take it out with: bareboat media detach ${machine} --drive ${fits[0]!.drive.id}`,
  )
}

/** `my/debian:12` → `my-debian-12.iso`: what every BMC takes at the end of a URL; some look at the suffix alone. */
export function fileNameOf(of: string, isIso: boolean): string {
  const base = of
    .replace(/\.(iso|img|raw|bin|fat|vfat)$/i, '')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[-.]+|[-.]+$/g, '')
    .slice(-40)
  return `${base === '' ? 'medium' : base}.${isIso ? 'iso' : 'img'}`
}

function lastPart(inserted: string): string {
  return inserted.replace(/[?#].*/s, '').replace(/.*\//, '')
}
