/**
 * Roots of containers as directories: `ID/rootfs` with the files, `ID/root.json` beside it. Both are made aside and renamed, and
 * removed by a rename first, so that no half of a root is ever taken for one.
 *
 * What a machine has written is never walked by path while it may still write: a directory that became a symbolic link would
 * lead anywhere. `find` and `rm` of this system go by open directories, and names may be any bytes.
 */
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { AppError, explain, systemCode } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Tree } from '../../formats/tree/tree.ts'
import type { NfsRoot, RootStore } from '../../services/nfs/ports.ts'
import type { RootFiles } from '../../services/store/ports.ts'
import { runProgram } from '../debian/program.ts'
import { ASIDE, asideIn, replaceFile, writeSynced } from '../durable.ts'
import { makeDirectory, syncDirectory } from '../files.ts'
import { removeTree } from '../unpack/directory.ts'

export interface RootDirectoriesConfig {
  readonly log: Log
  readonly directory: string
  /** Lays out a tree as a directory that does not exist yet, whole and on the disk. */
  readonly unpack: (tree: Tree, directory: string, signal: AbortSignal) => Promise<void>
}

const RECORD = 'root.json'
const FILES = 'rootfs'
const CONTAINER_ID = /^[0-9a-f]{64}$/

const record = z
  .object({
    exportId: z.int().min(1).max(65_535),
    open: z
      .object({ address: z.ipv4(), name: z.string().regex(/^[A-Za-z0-9_-]{43}$/) })
      .strict()
      .optional(),
    isReset: z.literal(true).optional(),
  })
  .strict()

/** Opens the directory, which need not be there, and clears away what killed processes have left in it. */
export async function openRootDirectories({
  log,
  directory,
  unpack,
}: RootDirectoriesConfig): Promise<RootStore & RootFiles> {
  const of = (containerId: string, name: string): string => join(directory, checkedId(containerId), name)
  for (const name of await namesIn(directory))
    if (name.startsWith(ASIDE))
      await removeTree(join(directory, name)).catch((error: unknown) => notCleared(name, error))

  function notCleared(name: string, error: unknown): void {
    log.warn('unfinished NFS root not cleared away', { name, why: explain(error) })
  }

  return {
    async list() {
      const names = (await namesIn(directory)).filter((name) => CONTAINER_ID.test(name))
      const roots = await Promise.all(
        names.map((containerId) =>
          readRecord(containerId, of(containerId, RECORD)).catch((error: unknown) =>
            log.error('NFS root left alone: its record cannot be read', { containerId, error: explain(error) }),
          ),
        ),
      )
      return roots.filter((root) => root !== undefined)
    },

    pathOf: (containerId) => of(containerId, FILES),

    async usage() {
      const ids = (await namesIn(directory)).filter((name) => CONTAINER_ID.test(name))
      const sizes: { containerId: string; sizeBytes: number }[] = []
      for (const containerId of ids) sizes.push({ containerId, sizeBytes: await bytesBelow(of(containerId, FILES)) })
      return sizes
    },

    async make(root, tree, signal) {
      refuseWithoutRoot(root.containerId)
      makeDirectory(directory)
      const aside = asideIn(directory)
      try {
        await mkdir(aside, { mode: 0o700 })
        await unpack(tree, join(aside, FILES), signal)
        await writeSynced(join(aside, RECORD), [serializeRecord(root)])
        syncDirectory(aside)
        signal.throwIfAborted()
        await rename(aside, join(directory, checkedId(root.containerId)))
        syncDirectory(directory)
      } catch (error) {
        await removeTree(aside).catch((failure: unknown) => notCleared(aside, failure))
        throw error
      }
    },

    write: (root) => replaceFile(of(root.containerId, RECORD), [serializeRecord(root)]),

    async resetAccessTimes(containerId, signal) {
      const path = of(containerId, FILES)
      await refuseUnrecorded(containerId, join(directory, containerId))
      await runProgram(
        'find',
        [
          path,
          '-xdev',
          '-type',
          'f',
          '-exec',
          'touch',
          '--time=access',
          '--no-dereference',
          '--date=@0',
          '--',
          '{}',
          '+',
        ],
        { signal },
      )
      await runProgram('sync', ['-f', path], { signal })
    },

    async accessed(containerId, signal) {
      const path = of(containerId, FILES)
      const found = await runProgram('find', ['.', '-xdev', '-type', 'f', '-newerat', '@0', '-printf', '%P\\0'], {
        cwd: path,
        signal,
      })
      return split(found)
    },

    async remove(containerId) {
      const aside = asideIn(directory)
      try {
        await rename(join(directory, checkedId(containerId)), aside)
      } catch (error) {
        if (systemCode(error) === 'ENOENT') return
        throw error
      }
      syncDirectory(directory)
      await removeTree(aside)
    },
  }
}

/** What `du` counts of the disk. It ends with an error where files went away meanwhile, and has counted the rest. */
async function bytesBelow(path: string): Promise<number> {
  const script = 'du --summarize --one-file-system --block-size=1 -- "$1" 2>/dev/null || true'
  const said = new TextDecoder().decode(await runProgram('sh', ['-c', script, 'sh', path]))
  return Number(/^\d+/.exec(said)?.[0] ?? 0)
}

function serializeRecord({ containerId: _ofDirectory, ...rest }: NfsRoot): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(rest)}\n`)
}

async function readRecord(containerId: string, path: string): Promise<NfsRoot> {
  const { exportId, open: opening, isReset } = record.parse(JSON.parse(await readFile(path, 'utf8')))
  return { containerId, exportId, ...(opening && { open: opening }), ...(isReset && { isReset }) }
}

function refuseWithoutRoot(containerId: string): void {
  if (process.getuid?.() === 0) return
  throw new AppError(
    'unsupported',
    `Cannot make the NFS root of container "${containerId.slice(0, 12)}": only root may give files their owners and serve them by NFS; run the server as root, or use another --rootfs`,
  )
}

/**
 * Reads a file that was last read at the epoch and looks whether that was recorded: a file system that is mounted with `noatime` does not.
 * @throws {AppError} unsupported
 */
async function refuseUnrecorded(containerId: string, directory: string): Promise<void> {
  const probe = join(directory, `${ASIDE}probe`)
  try {
    await writeFile(probe, 'read me')
    await utimes(probe, 0, (await stat(probe)).mtime)
    await using file = await open(probe, 'r')
    await file.readFile()
    if ((await stat(probe)).atimeMs > 0) return
  } finally {
    await rm(probe, { force: true })
  }
  throw new AppError(
    'unsupported',
    `Cannot record which files container "${containerId.slice(0, 12)}" reads: the file system of "${directory}" does not record access times; mount it with relatime instead of noatime`,
  )
}

function checkedId(containerId: string): string {
  if (!CONTAINER_ID.test(containerId)) throw new Error(`container id "${containerId}" is not 64 hexadecimal digits`)
  return containerId
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw error
  }
}

/** Names that each end with a NUL. */
function split(bytes: Uint8Array): Uint8Array[] {
  const names: Uint8Array[] = []
  for (let from = 0; from < bytes.length;) {
    const end = bytes.indexOf(0, from)
    names.push(bytes.subarray(from, end))
    from = end + 1
  }
  return names
}
