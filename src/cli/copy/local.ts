/** Paths of this system, looked at as docker's rules want them. */
import { lstat, readlink, realpath, stat } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join } from 'node:path'
import { AppError, systemCode } from '../../base/errors.ts'
import { assertsDirectory, cleanPath, endsInDot, splitPath, type Seen } from './rules.ts'

const MOST_LINKS = 10

export interface LocalSource extends Seen {
  /** The name to go under when a link was followed to another. */
  readonly rename?: string
}

/** @throws {AppError} invalid, when there is nothing at `path` */
export async function lookAtSource(path: string, cwd: string, followLink: boolean): Promise<LocalSource> {
  const whole = absolute(path, cwd)
  try {
    const { dir, base } = splitPath(whole)
    if (followLink && !endsInDot(whole)) {
      const real = await realpath(whole)
      const name = basename(cleanPath(whole))
      const isDirectory = (await stat(real)).isDirectory()
      return { path: real, exists: true, isDirectory, ...(basename(real) === name ? {} : { rename: name }) }
    }
    const isDirectory = (await lstat(whole)).isDirectory()
    return { path: join(await realpath(dir), base) + (base === '.' ? '/.' : ''), exists: true, isDirectory }
  } catch (cause) {
    throw new AppError('invalid', `Cannot copy "${path}": ${describe(cause)}`, { cause })
  }
}

/**
 * What is at `path`, links followed; it need not exist, but the folder that it would be in must.
 * @throws {AppError} invalid
 */
export async function lookAtDestination(path: string, cwd: string): Promise<Seen> {
  let whole = absolute(path, cwd)
  for (let links = 0; ; links++) {
    const entry = await lookUp(whole, path)
    if (!entry) break
    if (!entry.isSymbolicLink()) return { path: whole, exists: true, isDirectory: entry.isDirectory() }
    if (links >= MOST_LINKS) throw new AppError('invalid', `Cannot copy to "${path}": too many symbolic links`)
    const target = await readlink(whole)
    whole = isAbsolute(target) ? target : join(dirname(whole), target)
  }
  const parent = dirname(cleanPath(whole).replace(/\/\.?$/, ''))
  const folder = await lookUp(`${parent}/.`, path)
  if (!folder) throw new AppError('invalid', `Cannot copy to "${path}": there is no directory "${parent}"`)
  return { path: whole, exists: false, isDirectory: false }
}

async function lookUp(whole: string, shown: string) {
  try {
    return await lstat(whole)
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined
    throw new AppError('invalid', `Cannot copy to "${shown}": ${describe(cause)}`, { cause })
  }
}

/** As docker, the end of the path keeps its meaning: `join` alone would drop `/.`. */
function absolute(path: string, cwd: string): string {
  const whole = isAbsolute(path) ? path : `${cwd}/${path}`
  const clean = cleanPath(whole)
  return assertsDirectory(clean) || !assertsDirectory(whole) ? clean : `${clean}/`
}

function describe(cause: unknown): string {
  const code = systemCode(cause)
  if (code === 'ENOENT') return 'there is no such file or directory'
  if (code === 'ENOTDIR') return 'it is not a directory'
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied'
  return code ?? (cause instanceof Error ? cause.message : String(cause))
}
