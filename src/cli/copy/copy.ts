/** Copies between this system and a container, both ways. */
import { dirname, isAbsolute, join } from 'node:path/posix'
import type { Readable } from 'node:stream'
import { AppError } from '../../base/errors.ts'
import type { PathStat } from '../../model/api.ts'
import { writeOut } from '../io.ts'
import type { Session } from '../session.ts'
import { lookAtDestination, lookAtSource } from './local.ts'
import { cleanPath, endsInDot, planCopy, splitPath, type Plan, type Seen } from './rules.ts'
import { packTar, unpackTar } from './tar.ts'

export interface CopyFlags {
  /** Keep owner and group. */
  archive?: boolean
  followLink?: boolean
}

/** @returns bytes of the archive that went over the wire */
export async function copyOut(
  session: Session,
  container: string,
  source: string,
  destination: string,
  flags: CopyFlags,
): Promise<number> {
  const { containers } = session.client()
  const options = { signal: session.signal }
  let path = inContainer(source)
  let rename: string | undefined
  let stat = await containers.stat(container, path, options)
  if (flags.followLink === true && stat.type === 'symlink' && stat.target !== undefined) {
    const name = splitPath(path).base
    path = linkTarget(path, stat.target)
    stat = await containers.stat(container, path, options)
    if (splitPath(path).base !== name) rename = name
  }
  const counter = { bytes: 0 }
  if (destination === '-') {
    for await (const chunk of counted(await containers.readArchive(container, path, options), counter))
      await writeOut(session.io.stdout, chunk)
    return counter.bytes
  }
  const seen = await lookAtDestination(destination, session.io.cwd)
  const plan = planCopy({ path, exists: true, isDirectory: stat.type === 'directory' }, seen, rename)
  const archive = await containers.readArchive(container, path, options)
  await unpackTar(counted(archive, counter), plan, flags.archive === true, session.signal)
  return counter.bytes
}

/** @returns bytes of the archive that went over the wire */
export async function copyIn(
  session: Session,
  source: string,
  container: string,
  destination: string,
  flags: CopyFlags,
): Promise<number> {
  const { containers } = session.client()
  const seen = await lookInContainer(session, container, inContainer(destination))
  const counter = { bytes: 0 }
  if (source === '-') {
    if (!seen.isDirectory)
      throw new AppError('invalid', `Cannot copy to "${container}:${destination}": it is not a directory`)
    await send(session.io.stdin, seen.path)
    return counter.bytes
  }
  const local = await lookAtSource(source, session.io.cwd, flags.followLink === true)
  const plan: Plan = planCopy(local, seen, local.rename)
  const { dir, base } = splitPath(local.path)
  await send(packTar(dir, base, plan.name, flags.archive === true), plan.dir)
  return counter.bytes

  async function send(body: Readable, dirPath: string): Promise<void> {
    body.on('data', (chunk: Buffer) => (counter.bytes += chunk.length))
    body.pause()
    await containers.writeArchive(container, dirPath, body, { signal: session.signal })
  }
}

/** What is at a container's path, one link followed. A path that cannot be looked at is taken not to exist. */
async function lookInContainer(session: Session, container: string, path: string): Promise<Seen> {
  const { containers } = session.client()
  const look = async (at: string): Promise<PathStat | undefined> =>
    containers.stat(container, at, { signal: session.signal }).catch(async (error: unknown) => {
      if (!(error instanceof AppError) || error.code !== 'not_found') throw error
      // The container may be what is missing.
      await containers.inspect(container, { signal: session.signal })
      return undefined
    })
  let whole = path
  let stat = await look(whole)
  if (stat?.type === 'symlink' && stat.target !== undefined) {
    whole = linkTarget(whole, stat.target)
    stat = await look(whole)
    if (stat?.type === 'symlink')
      throw new AppError('invalid', `Cannot copy to "${container}:${path}": it is a link to a link`)
  }
  return { path: whole, exists: stat !== undefined, isDirectory: stat?.type === 'directory' }
}

/** Paths in a container begin at its root. */
function inContainer(path: string): string {
  return cleanPath(path.startsWith('/') ? path : `/${path}`)
}

function linkTarget(path: string, target: string): string {
  const whole = isAbsolute(target) ? target : join(dirname(cleanPath(path).replace(/(?<=.)\/$/, '')), target)
  return endsInDot(path) ? `${whole}/.` : whole
}

async function* counted(body: AsyncIterable<Uint8Array>, counter: { bytes: number }): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    counter.bytes += chunk.length
    yield chunk
  }
}
