/**
 * A tree as files of this system, for what can serve nothing else: an NFS root.
 *
 * GNU tar does it, fed with a projection of ours, into a directory that it alone fills: Node.js can make neither device nodes nor
 * attributes nor exact times, and one child process is quicker than a call for each file. Nothing of an image can lead it astray:
 * a tree has no `..`, each of its names once, and nothing below what is not a directory, and all directories come before what
 * is in them; so every path that tar opens consists of directories that it has just made.
 */
import { chmod, lstat, mkdir, mkdtemp, readdir, rename, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError, systemCode } from '../../base/errors.ts'
import { sizeOf } from '../../formats/extents.ts'
import { tarExtents } from '../../formats/tar/project.ts'
import type { Tree, TreeEntry } from '../../formats/tree/tree.ts'
import type { BlobStore } from '../../services/images/ports.ts'
import { runProgram } from '../debian/program.ts'
import { feedProgram } from '../stream-program.ts'

export interface UnpackOptions {
  readonly blobs: Pick<BlobStore, 'readExtents'>
  readonly signal: AbortSignal
  /** Default: whether this process is root's. Without it, what only root may make is left out. */
  readonly isRoot?: boolean
  /** Whether it must outlast a power cut when it is there: all that waits for the same file system is written then. Default true. */
  readonly isDurable?: boolean
}

export interface Unpacked {
  /** What this system or user could not give the files, as sentences; empty when all is as in the tree. */
  readonly lacks: readonly string[]
}

/**
 * Writes the tree to `directory`, which must not exist. It appears there whole and on the disk, or not at all.
 * @throws {AppError} conflict when there is something; unsupported without GNU tar; internal when the disk does not take it
 */
export async function unpackTree(
  tree: Tree,
  directory: string,
  { blobs, signal, isRoot = process.getuid?.() === 0, isDurable = true }: UnpackOptions,
): Promise<Unpacked> {
  await refuseExisting(directory)
  // Of this user alone while it is filled, whatever the mode of the root.
  const staging = await mkdtemp(`${directory}.unpacking-`)
  try {
    const root = join(staging, 'root')
    await mkdir(root, { mode: 0o700 })
    const without = isRoot ? () => false : isDevice
    const extents = tarExtents(tree, { dialect: 'gnu', without })
    const args = ['-x', '-p', '-f', '-', '-C', root, '--numeric-owner', '--xattrs', '--warning=no-timestamp']
    const rights = isRoot ? ['--same-owner', '--xattrs-include=*'] : ['--no-same-owner', '--xattrs-include=user.*']
    const said = await feedProgram(
      { name: 'tar', args: [...args, ...rights], doing: `Cannot unpack into "${directory}"` },
      blobs.readExtents(extents, 0, sizeOf(extents), signal),
      signal,
    )
    if (isDurable) await runProgram('sync', ['-f', root], { signal })
    // A directory that its owner may not write to, its owner may not move.
    const { mode } = tree.at(0)!
    if (!isRoot) await chmod(root, mode | 0o700)
    await rename(root, directory)
    if (!isRoot) await chmod(directory, mode)
    await rmdir(staging)
    return { lacks: [...(isRoot ? [] : whatOnlyRootGives(tree)), ...complaints(said)] }
  } catch (error) {
    await removeTree(staging)
    signal.throwIfAborted()
    throw error
  }
}

/** Removes an unpacked tree, however deep it is and whatever its modes say. Does nothing where there is none. */
export async function removeTree(directory: string): Promise<void> {
  // Neither follows a link. Only who is not root needs rights to take away what is their own.
  if (process.getuid?.() !== 0) await runProgram('chmod', ['-R', 'u+rwX', '--', directory]).catch(() => {})
  await runProgram('rm', ['-rf', '--one-file-system', '--', directory])
}

/** Removes what a process that was killed left half unpacked in a directory of trees. To be called before any is unpacked there. */
export async function removeUnfinished(parent: string): Promise<void> {
  for (const name of await readdir(parent)) if (/\.unpacking-\w{6}$/.test(name)) await removeTree(join(parent, name))
}

async function refuseExisting(directory: string): Promise<void> {
  try {
    await lstat(directory)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return
    throw error
  }
  throw new AppError('conflict', `Cannot unpack into "${directory}": there is something already`)
}

function isDevice({ kind }: TreeEntry): boolean {
  return kind === 'character' || kind === 'block'
}

function whatOnlyRootGives(tree: Tree): string[] {
  let devices = 0
  let attributes = 0
  let owners = 0
  const [uid, gid] = [process.getuid?.(), process.getgid?.()]
  for (const entry of tree.entries()) {
    if (isDevice(entry)) devices += 1
    else {
      if (entry.uid !== uid || entry.gid !== gid) owners += 1
      attributes += entry.xattrs.keys().reduce((count, name) => count + (name.startsWith('user.') ? 0 : 1), 0)
    }
  }
  const lacks: string[] = []
  if (devices > 0) lacks.push(`${devices} device nodes are left out: only root may make them`)
  if (owners > 0) lacks.push(`${owners} files and directories belong to ${uid}:${gid}: only root may give them away`)
  if (attributes > 0)
    lacks.push(`${attributes} attributes (capabilities and the like) are left out: only root may set them`)
  return lacks
}

/** What tar warns of though it goes on: a file system without attributes, for one. Each once, names left away. */
function complaints(said: string): string[] {
  const lines = said
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/^tar: /, ''))
  return lines.length === 0 ? [] : [`${lines.length} warnings of tar, the first: ${lines[0]!.slice(0, 300)}`]
}
