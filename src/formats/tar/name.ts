/** Names of archive entries as relative paths without `.`, `..`, empty names and NUL: nothing to escape with is left. */
import type { ByteString } from './byte-string.ts'
import { NAME_BYTES, PATH_BYTES } from './limits.ts'

/**
 * The path that an entry's name stands for: leading slashes and `./` dropped, doubled slashes made one, the trailing slash cut.
 * The root is the empty string.
 * @returns the path, or `{ refused }` with the reason
 */
export function relativePath(name: ByteString): ByteString | { readonly refused: string } {
  if (isPlain(name)) return name
  if (name.includes('\0')) return { refused: 'a NUL in the name' }
  const names = name.split('/').filter((part) => part !== '' && part !== '.')
  if (names.includes('..')) return { refused: '".." in the name' }
  const path = names.join('/')
  return path === '' ? path : (whyNotPath(path) ?? path)
}

/** Whether a path already has the form that relativePath gives, the root excepted. */
export function isPlain(path: ByteString): boolean {
  return !/(?:^|\/)\.{0,2}(?:\/|$)|\0/.test(path) && whyNotPath(path) === undefined
}

function whyNotPath(path: ByteString): { readonly refused: string } | undefined {
  if (path.length > PATH_BYTES) return { refused: `a path of ${path.length} bytes, at most ${PATH_BYTES}` }
  if (path.length > NAME_BYTES && path.split('/').some((name) => name.length > NAME_BYTES))
    return { refused: `a name of more than ${NAME_BYTES} bytes` }
  return undefined
}
