/**
 * Reads one Redfish resource (DSP0266 §8) without believing its types: BMCs write numbers as text, text as null, and words where
 * there is nothing ("Not Available"). Every reader yields a value that can be used, or undefined.
 */

/** A JSON object; its values may be anything. */
export type Resource = Readonly<Record<string, unknown>>

/** Longest text that is kept, in UTF-16 units; what is longer is cut. */
const MAX_TEXT = 256
/** Most members of a list that are looked at. */
const MAX_LIST = 4096
/** What boards without a value say instead: SMBIOS fillers of board makers, and BMCs that found nothing. */
const FILLERS =
  /^(n\/?a|none|null|unknown|not (available|specified|present|applicable)|no (dimm|asset tag)|default string|empty|(to be filled by|free form) .*|system (serial number|product name|manufacturer|version)|chassis serial number|[.x\-_ ]*|0+|123456789|0123456789\w*)$/i

/** The object itself, or undefined when it is none. */
export function asResource(value: unknown): Resource | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Resource) : undefined
}

/** The object at the end of `path`, e.g. `child(system, 'Boot')`. */
export function child(resource: Resource | undefined, ...path: readonly string[]): Resource | undefined {
  let at = resource
  for (const key of path) at = asResource(own(at, key))
  return at
}

/** Trimmed, without control characters, at most 256 units; undefined for none, for no text, and for fillers that mean none. */
export function textOf(resource: Resource | undefined, key: string): string | undefined {
  return plainText(own(resource, key))
}

/** As `textOf`, of a bare value. */
export function plainText(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  const text = value
    .slice(0, 4 * MAX_TEXT)
    .replaceAll(/[\p{C}\p{Z}]+/gu, ' ')
    .trim()
    .slice(0, MAX_TEXT)
    .trim()
  return FILLERS.test(text) ? undefined : text
}

/** A finite number, also when it is written as text (`"12.5"`). */
export function numberOf(resource: Resource | undefined, key: string): number | undefined {
  const value = own(resource, key)
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined
  if (typeof value !== 'string' || !/^-?\d{1,15}(\.\d{1,9})?$/.test(value.trim())) return undefined
  return Number(value)
}

/** A positive whole number up to 2^53 - 1; fractions are rounded. */
export function countOf(resource: Resource | undefined, key: string): number | undefined {
  const value = numberOf(resource, key)
  if (value === undefined) return undefined
  const whole = Math.round(value)
  return whole > 0 && Number.isSafeInteger(whole) ? whole : undefined
}

export function flagOf(resource: Resource | undefined, key: string): boolean | undefined {
  const value = own(resource, key)
  return typeof value === 'boolean' ? value : undefined
}

/** The objects of an array; what is none is left out. A single object counts as an array of one. */
export function objectsOf(resource: Resource | undefined, key: string): Resource[] {
  const value = own(resource, key)
  const list = Array.isArray(value) ? value.slice(0, MAX_LIST) : [value]
  return list.map(asResource).filter((one) => one !== undefined)
}

/** The texts of an array, each once. */
export function textsOf(resource: Resource | undefined, key: string): string[] {
  const value = own(resource, key)
  if (!Array.isArray(value)) return []
  // "None" is a value of some of these lists, but nothing to ask for.
  return [...new Set(value.slice(0, MAX_LIST).flatMap((one) => plainText(one) ?? []))]
}

/** The path of a link, `{"@odata.id": PATH}` (DSP0266 §8.4); some BMCs write the bare path. Undefined when it leads out of the service. */
export function linkOf(resource: Resource | undefined, key: string): string | undefined {
  return pathOf(own(resource, key))
}

/** The paths of a list of links, each once. A single link counts as a list of one. */
export function linksOf(resource: Resource | undefined, key: string): string[] {
  const value = own(resource, key)
  const list = Array.isArray(value) ? value.slice(0, MAX_LIST) : [value]
  return [...new Set(list.flatMap((one) => pathOf(one) ?? []))]
}

/**
 * The path that a link leads to, without its fragment: below `/redfish/v1` and without a dot segment. Undefined for anything else: a
 * BMC does not decide that another host, or another part of its own, is asked.
 */
export function pathOf(link: unknown): string | undefined {
  const value = typeof link === 'string' ? link : own(asResource(link), '@odata.id')
  if (typeof value !== 'string' || value.length > 1024) return undefined
  const path = value.replace(/#.*$/s, '').replace(/\/+$/, '')
  if (!/^\/redfish\/v1(\/[!-~]+)?$/i.test(path) || /\\|\/\//.test(path)) return undefined
  return path.split(/[/?]/).some((part) => /^(\.|%2e){1,2}$/i.test(part)) ? undefined : path
}

/** Whether the part that the resource stands for is there (DSP2046 Status.State). */
export function isPresent(resource: Resource): boolean {
  const state = child(resource, 'Status')?.['State']
  return state !== 'Absent' && state !== 'UnavailableOffline'
}

/** OK, Warning or Critical, as the resource says it of itself. */
export function healthOf(resource: Resource): string | undefined {
  return textOf(child(resource, 'Status'), 'Health')
}

function own(resource: Resource | undefined, key: string): unknown {
  return resource !== undefined && Object.hasOwn(resource, key) ? resource[key] : undefined
}
