/** Whiteouts: names in a layer that take away what is below (image-spec layer.md, "Whiteouts"). */
import type { ByteString } from '../tar/byte-string.ts'

export const WHITEOUT_PREFIX = '.wh.'
export const OPAQUE_NAME = '.wh..wh..opq'

export type Whiteout =
  | { readonly kind: 'removal'; readonly path: ByteString }
  /** Hides all that lower layers have in the directory. */
  | { readonly kind: 'opaque'; readonly path: ByteString }

/**
 * What an entry's path means as a whiteout, or undefined where it is an ordinary name.
 * @returns `{ refused }` for a whiteout that names nothing, leaves its directory (`.wh...`), or is not one that the spec knows
 */
export function whiteoutOf(path: ByteString): Whiteout | { readonly refused: string } | undefined {
  if (!path.includes(WHITEOUT_PREFIX)) return undefined
  const names = path.split('/')
  const last = names.pop()!
  if (names.some((name) => name.startsWith(WHITEOUT_PREFIX))) return { refused: 'it lies below a whiteout' }
  if (!last.startsWith(WHITEOUT_PREFIX)) return undefined
  const directory = names.join('/')
  if (last === OPAQUE_NAME) return { kind: 'opaque', path: directory }
  const name = last.slice(WHITEOUT_PREFIX.length)
  if (name === '' || name === '.' || name === '..') return { refused: `a whiteout of "${name}"` }
  if (name.startsWith(WHITEOUT_PREFIX)) return { refused: 'a whiteout of a kind that is not known' }
  return { kind: 'removal', path: directory === '' ? name : `${directory}/${name}` }
}
