/**
 * What a projection yields: a virtual file as a list of pieces. Nothing is copied when it is made; a reader cuts the pieces
 * that a range touches and fetches blob bytes only then.
 */

/**
 * A piece of a virtual file. `blob` names a stored blob by its digest (`sha256:…`); offsets and lengths are bytes. Where
 * `bytes` are made anew at each access, `length` says how many they are: ask extentLength.
 */
export type Extent =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array; readonly length?: number }
  | { readonly kind: 'blob'; readonly blob: string; readonly offset: number; readonly length: number }
  | { readonly kind: 'zeros'; readonly length: number }

export function extentLength(extent: Extent): number {
  return extent.kind === 'bytes' ? (extent.length ?? extent.bytes.length) : extent.length
}

/** Size in bytes of the whole virtual file. */
export function sizeOf(extents: readonly Extent[]): number {
  let sum = 0
  for (const extent of extents) sum += extentLength(extent)
  return sum
}

/** The pieces that make up bytes `from` (inclusive) to `to` (exclusive) of the virtual file, cut to fit. */
export function cutExtents(extents: readonly Extent[], from: number, to: number): Extent[] {
  const cut: Extent[] = []
  let at = 0
  for (const extent of extents) {
    const length = extentLength(extent)
    const start = Math.max(from - at, 0)
    const end = Math.min(to - at, length)
    if (start < end) cut.push(end - start === length ? extent : slice(extent, start, end))
    at += length
    if (at >= to) break
  }
  return cut
}

function slice(extent: Extent, start: number, end: number): Extent {
  switch (extent.kind) {
    case 'bytes':
      return { kind: 'bytes', bytes: extent.bytes.subarray(start, end) }
    case 'blob':
      return { kind: 'blob', blob: extent.blob, offset: extent.offset + start, length: end - start }
    case 'zeros':
      return { kind: 'zeros', length: end - start }
  }
}
