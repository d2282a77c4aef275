/**
 * GNU tar as the maker and reader of archives: it keeps modes, links and times, and when it unpacks it lets no entry out of
 * the destination (no `..`, no absolute name, no way through a link that the archive made).
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { chmod, lstat, mkdir, readdir, rename, stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AppError, systemCode } from '../../base/errors.ts'
import type { Plan } from './rules.ts'

/**
 * An archive of one entry and what is below it.
 * @param keepOwner else everything belongs to root
 */
export function packTar(dir: string, base: string, name: string | undefined, keepOwner: boolean): Readable {
  const owner = keepOwner ? [] : ['--owner=0', '--group=0']
  const argv = ['-c', '-f', '-', '--numeric-owner', ...owner, '-C', dir, ...renaming(name), '--', base]
  return Readable.from(output(argv, `Cannot pack "${base === '.' ? dir : `${dir}/${base}`}"`), { objectMode: false })
}

/** An archive of all that is in a directory, in the order of its names, with owners and extended attributes. */
export function packDirectory(dir: string): Readable {
  const argv = ['-c', '-f', '-', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--sort=name', '-C', dir, '.']
  return Readable.from(output(argv, `Cannot pack "${dir}"`), { objectMode: false })
}

/**
 * Unpacks an archive as `plan` says.
 * @param keepOwner else everything belongs to the person copying
 * @throws {AppError} when tar cannot
 */
export async function unpackTar(
  archive: AsyncIterable<Uint8Array>,
  { dir, name }: Plan,
  keepOwner: boolean,
  signal: AbortSignal,
): Promise<void> {
  const owner = keepOwner ? ['--same-owner', '--numeric-owner'] : ['--no-same-owner']
  const argv = ['-x', '-f', '-', '-p', ...owner, '-C', dir, ...renaming(name)]
  await feed(argv, archive, `Cannot unpack into "${dir}"`, signal)
}

/**
 * Unpacks the root of an image into a directory that does not exist or is empty; it appears whole or not at all. The archive is of
 * the server's making: each directory before what is in it, each name once, nothing below a link.
 * @param isRoot whether owners and all attributes can be kept
 */
export async function unpackRoot(
  archive: AsyncIterable<Uint8Array>,
  dir: string,
  isRoot: boolean,
  signal: AbortSignal,
): Promise<void> {
  const what = `Cannot unpack into "${dir}"`
  await refuseFull(dir, what)
  const partial = `${dir}.${process.pid}.partial`
  try {
    await mkdir(partial, { mode: 0o700 })
    const rights = isRoot ? ['--same-owner', '--xattrs-include=*'] : ['--no-same-owner', '--xattrs-include=user.*']
    const argv = ['-x', '-f', '-', '-p', '--numeric-owner', '--xattrs', '--warning=no-timestamp', ...rights]
    await feed([...argv, '-C', partial], archive, what, signal)
    // A directory that its owner may not write to, its owner may not move.
    const { mode } = await stat(partial)
    if (!isRoot) await chmod(partial, mode | 0o700)
    await rename(partial, dir)
    if (!isRoot) await chmod(dir, mode)
  } catch (cause) {
    // Programs that go down step by step: a path of an image may be longer than a system call takes.
    if (!isRoot) spawnSync('chmod', ['-R', 'u+rwX', '--', partial], { stdio: 'ignore' })
    spawnSync('rm', ['-rf', '--one-file-system', '--', partial], { stdio: 'ignore' })
    signal.throwIfAborted()
    if (cause instanceof AppError) throw cause
    throw new AppError('invalid', `${what}: ${systemCode(cause) ?? 'it did not arrive whole'}`, { cause })
  }
}

async function refuseFull(dir: string, what: string): Promise<void> {
  try {
    if ((await lstat(dir)).isDirectory() && (await readdir(dir)).length === 0) return
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return
    throw new AppError('invalid', `${what}: ${systemCode(cause) ?? String(cause)}`, { cause })
  }
  throw new AppError('conflict', `${what}: it is there and not an empty directory`)
}

async function feed(
  argv: string[],
  archive: AsyncIterable<Uint8Array>,
  what: string,
  signal: AbortSignal,
): Promise<void> {
  const child = start(argv, ['pipe', 'ignore', 'pipe'])
  const ended = ending(child, what)
  try {
    await pipeline(archive, child.stdin!, { signal })
  } catch (error) {
    // A tar that gave up, or saw the end of the archive before the last padding, closes its end: what it says counts then.
    if (!TAR_CLOSED.has(systemCode(error) ?? '')) {
      child.kill()
      await ended.catch(() => {})
      throw error
    }
  }
  await ended
}

const TAR_CLOSED = new Set(['EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'])

async function* output(argv: string[], what: string): AsyncGenerator<Buffer, void, undefined> {
  const child = start(argv, ['ignore', 'pipe', 'pipe'])
  const ended = ending(child, what)
  ended.catch(() => {})
  try {
    yield* child.stdout as AsyncIterable<Buffer>
    await ended
  } finally {
    child.kill()
  }
}

/** The first component of each path becomes `name`; what links point to stays, but hard links follow their files. */
function renaming(name: string | undefined): string[] {
  if (name === undefined) return []
  const replacement = name.replace(/[\\&|]/g, '\\$&').replaceAll('\n', '\\n')
  return [`--transform=s|^[^/]*|${replacement}|S`]
}

function start(argv: string[], stdio: ('pipe' | 'ignore')[]): ChildProcess {
  // Messages in one language, and no options of the person's own: TAR_OPTIONS could change what an archive means.
  const env = { ...process.env, LC_ALL: 'C.UTF-8', TAR_OPTIONS: '' }
  return spawn('tar', argv, { stdio, env })
}

/** Resolves when tar has done its work. A file that changed meanwhile (exit code 1) is no failure. */
function ending(child: ChildProcess, what: string): Promise<void> {
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    if (said.length < 4096) said += chunk.toString('utf8')
  })
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => {
      const why = systemCode(cause) === 'ENOENT' ? 'GNU tar is not installed' : cause.message
      reject(new AppError('unsupported', `${what}: ${why}`, { cause }))
    })
    child.once('close', (code) => {
      if (code === 0 || code === 1) return resolve()
      const why = said.split('\n', 1)[0]!.replace(/^tar: /, '') || `tar ended with exit code ${code}`
      reject(new AppError('invalid', `${what}: ${why}`))
    })
  })
}
