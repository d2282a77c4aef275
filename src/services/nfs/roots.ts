/**
 * Roots over NFS: for each container with `--rootfs nfs` a directory of its own, laid out once from the tree of its image and
 * kept until the container is removed. A machine may mount it from the moment that its address is known (the orders of the boot
 * were claimed from it) until it is off; before and after that nobody may.
 */
import { randomBytes, randomInt } from 'node:crypto'
import { AppError, explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Tree } from '../../formats/tree/tree.ts'
import { renderAccessed } from './access-times.ts'
import type { NfsRoot, NfsServer, RootStore } from './ports.ts'

export interface NfsRootsDeps {
  readonly log: Log
  readonly store: RootStore
  readonly server: NfsServer
  /** Where machines reach the NFS server. */
  readonly host: string
  readonly port: number
}

/** What a machine mounts. */
export interface NfsMount {
  /** `HOST:/PATH` */
  readonly source: string
  /** As mount(8) takes them after `-o`, and the kernel's NFS client as they are (nfs(5)). */
  readonly options: string
}

export type NfsRoots = Awaited<ReturnType<typeof openNfsRoots>>

const MAX_EXPORT_ID = 65_535

/** Reads which roots there are. Nothing is shown to machines before `resume`. */
export async function openNfsRoots({ log, store, server, host, port }: NfsRootsDeps) {
  const roots = new Map<string, NfsRoot>()
  for (const root of await store.list()) roots.set(root.containerId, root)
  /** Export ids of roots that are, and of those that are being made. */
  const taken = new Set([...roots.values()].map((root) => root.exportId))
  let last: Promise<unknown> = Promise.resolve()

  /** Changes of what is shown happen one after the other. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = last.then(work)
    last = mine.catch(() => {})
    return mine
  }

  async function write(root: NfsRoot): Promise<void> {
    await store.write(root)
    roots.set(root.containerId, root)
  }

  function show(): Promise<void> {
    return server.serve(
      [...roots.values()].flatMap(({ containerId, exportId, open }) =>
        open === undefined ? [] : [{ exportId, path: store.pathOf(containerId), ...open }],
      ),
    )
  }

  /** An id that no other root has; not the lowest, so that one does not come back soon. */
  function takeExportId(): number {
    if (taken.size >= MAX_EXPORT_ID)
      throw new AppError('exhausted', `Cannot make an NFS root: there are ${taken.size} already; remove containers`)
    for (;;) {
      const exportId = randomInt(1, MAX_EXPORT_ID + 1)
      if (taken.has(exportId)) continue
      taken.add(exportId)
      return exportId
    }
  }

  function shut(containerId: string): Promise<void> {
    return inTurn(async () => {
      const root = roots.get(containerId)
      if (root?.open === undefined) return
      await write(closed(root))
      // A server that cannot be told now is told as soon as it can be.
      await show().catch((error: unknown) => log.error('NFS root not shut', { containerId, error: explain(error) }))
    })
  }

  async function remove(containerId: string): Promise<void> {
    const root = roots.get(containerId)
    if (!root) return
    await shut(containerId)
    await store.remove(containerId)
    roots.delete(containerId)
    taken.delete(root.exportId)
  }

  return {
    /**
     * Takes up the roots of an earlier daemon: shows again what was open to machines that still have it, and removes what belongs
     * to no container. A server that cannot be started now is tried again by itself.
     * @param stateOf `live` while a machine may use the root
     */
    async resume(stateOf: (containerId: string) => Promise<'live' | 'over' | 'gone'>): Promise<void> {
      const gone: string[] = []
      for (const root of [...roots.values()]) {
        const state = await stateOf(root.containerId)
        if (state !== 'live' && root.open !== undefined) await write(closed(root))
        if (state === 'gone') gone.push(root.containerId)
      }
      await inTurn(show).catch((error: unknown) => log.error('NFS roots not shown', { error: explain(error) }))
      for (const containerId of gone) {
        log.info('NFS root of no container removed', { containerId })
        await remove(containerId)
      }
    },

    /**
     * Lays out the root of a container, unless it has one from an earlier boot: what it wrote then is still there. With
     * `resetAccessTimes` all access times become the epoch, unless a machine has the root already.
     * @throws {AppError} unsupported, exhausted
     */
    async prepare(
      containerId: string,
      tree: Tree,
      { resetAccessTimes, signal }: { resetAccessTimes: boolean; signal: AbortSignal },
    ): Promise<void> {
      if (!roots.has(containerId)) {
        const root = { containerId, exportId: takeExportId() }
        try {
          await store.make(root, tree, signal)
          roots.set(containerId, root)
        } catch (error) {
          taken.delete(root.exportId)
          throw error
        }
      }
      const root = roots.get(containerId)
      if (!resetAccessTimes || !root || root.open !== undefined) return
      await store.resetAccessTimes(containerId, signal)
      await write({ ...root, isReset: true })
    },

    /**
     * Lets one machine mount the root, and nobody else. Asked again for the same address, it answers the same.
     * @param address IPv4 address of the machine, as it claimed the orders of its boot
     * @returns once the server shows it
     * @throws {AppError} not_found before `prepare`; unsupported, timeout, invalid when there is no server
     */
    async open(containerId: string, address: string): Promise<NfsMount> {
      const name = await inTurn(async () => {
        const root = roots.get(containerId)
        if (!root)
          throw new AppError('not_found', `Cannot open the NFS root of "${containerId}": it has not been made yet`)
        const isOpen = root.open?.address === address
        const open = isOpen ? root.open : { address, name: randomBytes(32).toString('base64url') }
        if (!isOpen) await write({ ...root, open })
        await show()
        return open.name
      })
      return {
        source: `${host}:/${name}`,
        options: [
          `vers=${server.version()}`,
          'proto=tcp',
          `port=${port}`,
          'sec=sys',
          'hard',
          `addr=${host}`,
          `clientaddr=${address}`,
        ].join(','),
      }
    },

    /** From now on nobody may use the root; its files stay. To be called when the machine is off. Does nothing where there is none. */
    shut,

    /** Removes the root with all that the container wrote. To be called when the machine is off. Does nothing where there is none. */
    remove,

    /**
     * The regular files that were read or written since the last reset of access times, one `./path` a line, sorted.
     * @throws {AppError} not_found when it was not recorded
     */
    async accessed(containerId: string, signal: AbortSignal): Promise<Uint8Array> {
      if (roots.get(containerId)?.isReset !== true)
        throw new AppError(
          'not_found',
          `Cannot list what container "${containerId.slice(0, 12)}" has read: it was not recorded; only run --rootfs nfs --reset-atime does`,
        )
      return renderAccessed(await store.accessed(containerId, signal))
    },
  }
}

function closed({ open: _open, ...root }: NfsRoot): NfsRoot {
  return root
}
