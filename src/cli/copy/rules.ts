/**
 * The rules of `docker cp`: what a source and a destination mean together. Pure, except that the caller looks at the paths.
 *
 * A source that ends in `/.` is the content of a directory, else it is the thing itself under its own name. A destination that
 * is a directory receives the source inside; one that does not exist becomes the source's new name.
 */
import { basename, dirname, normalize } from 'node:path/posix'
import { AppError } from '../../base/errors.ts'

export interface Side {
  /** Undefined for a path on this system. */
  readonly container?: string
  readonly path: string
}

/** An entry as somebody looked at it. */
export interface Seen {
  readonly path: string
  readonly exists: boolean
  readonly isDirectory: boolean
}

/** Unpack into `dir`; `name` replaces the first component of each path in the archive, `.` drops it. */
export interface Plan {
  readonly dir: string
  readonly name?: string
}

/** `CONTAINER:PATH`, or a path here: one that begins with `/` or `.`, or has no colon. */
export function parseSide(argument: string): Side {
  const colon = argument.indexOf(':')
  if (argument.startsWith('/') || argument.startsWith('.') || colon <= 0) return { path: argument }
  return { container: argument.slice(0, colon), path: argument.slice(colon + 1) }
}

/** The path without detours, but with the `/.` or `/` at its end, which mean something here. */
export function cleanPath(path: string): string {
  const clean = normalize(path).replace(/(?<=.)\/$/, '')
  if (endsInDot(path)) return clean === '/' ? '/.' : clean === '.' ? './.' : `${clean}/.`
  return path.endsWith('/') && clean !== '/' ? `${clean}/` : clean
}

/** Folder and name of an entry; the name of `dir/.` is `.`. */
export function splitPath(path: string): { dir: string; base: string } {
  const clean = cleanPath(path)
  if (clean === '/') return { dir: '/', base: '.' }
  return { dir: dirname(clean), base: basename(clean) }
}

export function endsInDot(path: string): boolean {
  return path === '.' || path.endsWith('/.')
}

/** The path claims to be a directory. */
export function assertsDirectory(path: string): boolean {
  return path.endsWith('/') || endsInDot(path)
}

/**
 * Where a copy goes.
 * @param rename the name that the source keeps although a link led elsewhere (`-L`)
 * @throws {AppError} invalid, when the two do not go together
 */
export function planCopy(source: Seen, destination: Seen, rename?: string): Plan {
  const { dir, base } = splitPath(destination.path)
  if (destination.exists && destination.isDirectory) {
    const name = endsInDot(source.path) || source.path === '/' ? '.' : rename
    return { dir: destination.path, ...(name === undefined ? {} : { name }) }
  }
  if (source.isDirectory && destination.exists)
    throw new AppError(
      'invalid',
      `Cannot copy directory "${source.path}" to "${destination.path}": that is not a directory`,
    )
  if (!source.isDirectory && !destination.exists && assertsDirectory(destination.path))
    throw new AppError('invalid', `Cannot copy "${source.path}" to "${destination.path}": there is no such directory`)
  // `new/.` names the directory that is to be made.
  const named = base === '.' ? splitPath(dir) : { dir, base }
  return { dir: named.dir, name: named.base }
}
