/** Roots over NFS: their directories, the server that machines reach them through, and the service that knows whose they are. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../base/log.ts'
import type { Task } from '../base/task.ts'
import { createGanesha } from '../drivers/nfs/ganesha.ts'
import { openRootDirectories } from '../drivers/nfs/root-directories.ts'
import { unpackTree } from '../drivers/unpack/directory.ts'
import type { BlobStore } from '../services/images/ports.ts'
import { openNfsRoots, type NfsRoots } from '../services/nfs/roots.ts'
import type { RootFiles } from '../services/store/ports.ts'
import type { Config } from './config.ts'

export interface NfsDeps {
  readonly config: Pick<Config, 'dataDir' | 'nfsDir' | 'nfsPort'>
  readonly log: Log
  readonly blobs: Pick<BlobStore, 'readExtents'>
  /** IPv4 address of the machines' interface. */
  readonly address: string
}

export interface Nfs extends AsyncDisposable {
  readonly roots: NfsRoots
  readonly files: RootFiles
  readonly task: Task
  /** What keeps it from full health, in words. */
  problems(): string[]
}

export async function openNfs({ config, log: parent, blobs, address }: NfsDeps): Promise<Nfs> {
  const log = parent.with({ server: 'nfs' })
  const { nfsDir: directory, nfsPort: port } = config
  const server = createGanesha({ log, directory: join(directory, 'server'), address, port })
  const store = await openRootDirectories({
    log,
    directory,
    async unpack(tree, to, signal) {
      if (isSameFileSystem(directory, config.dataDir))
        log.warn('NFS roots share a file system with the rest: who is root on a machine can read all of it', {
          directory,
        })
      const { lacks } = await unpackTree(tree, to, { blobs, signal })
      if (lacks.length > 0) log.warn('NFS root is not all that its image is', { lacks })
    },
  })
  const roots = await openNfsRoots({ log, store, server, host: address, port })
  return {
    roots,
    files: store,
    task: server.task,
    problems: server.problems,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

/** A file handle of NFS names a file of its file system, whatever directory is shown: who forges one is not kept to its own. */
function isSameFileSystem(one: string, other: string): boolean {
  return statSync(one).dev === statSync(other).dev
}
