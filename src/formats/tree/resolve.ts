/** Follows symbolic links inside a tree, as the kernel would with the tree as its root. Nothing outside is ever looked at. */
import type { ByteString } from '../tar/byte-string.ts'
import { PATH_BYTES } from '../tar/limits.ts'
import type { TreeEntry } from './tree.ts'

/** Linux gives up (ELOOP) at the 41st. */
const MAX_LINKS = 40

/**
 * The entry that a path leads to: links followed, the last one too; `..` at the root stays at the root.
 * @returns undefined where there is none, where more than 40 links are met, or a path grows beyond PATH_MAX
 */
export function resolveIn(get: (path: ByteString) => TreeEntry | undefined, path: ByteString): TreeEntry | undefined {
  const todo = path.split('/').reverse()
  let at = get('')
  for (let links = 0; todo.length > 0;) {
    const name = todo.pop()!
    if (name === '' || name === '.') continue
    if (at?.kind !== 'directory') return undefined
    if (name === '..') {
      at = get(at.path.slice(0, Math.max(at.path.lastIndexOf('/'), 0)))
      continue
    }
    const next = get(at.path === '' ? name : `${at.path}/${name}`)
    if (next?.kind !== 'symlink') {
      at = next
      if (at === undefined) return undefined
      continue
    }
    links += 1
    if (links > MAX_LINKS || todo.length + next.target.length > 40 * PATH_BYTES) return undefined
    if (next.target.startsWith('/')) at = get('')
    todo.push(...next.target.split('/').reverse())
  }
  return at
}
