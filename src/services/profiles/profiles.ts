/**
 * Boot profiles: while a container boots, what it reads of its device is taken down; the next boot of the same device is given
 * the list, to fetch it ahead. A boot counts as over a while after its workload runs, since programs load as they start.
 */
import { sleep, type Now } from '../../base/clock.ts'
import { explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Container } from '../../model/container.ts'
import type { Event } from '../../model/event.ts'
import type { BootStore } from '../boot/ports.ts'
import type { EventBus } from '../ports.ts'
import type { BootMeasure, DeviceWatch, ProfileStore } from './ports.ts'
import { blocksOf, tidyRanges, type Profile } from './profile.ts'

export interface ProfilesDeps {
  readonly log: Log
  readonly now: Now
  readonly store: ProfileStore
  readonly watch: DeviceWatch
  readonly boots: Pick<BootStore, 'byContainer'>
  readonly events: Pick<EventBus, 'history' | 'listen'>
  readonly containerById: (containerId: string) => Promise<Container | undefined>
  /** Size of a device in blocks of 4096 bytes; undefined when it is not here any more. */
  readonly blocksOfDevice: (rootHash: string) => Promise<number | undefined>
  /** How long a boot goes on after `running`. Default 10 s. */
  readonly settleMs?: number
}

export type Profiles = ReturnType<typeof createProfiles>

export function createProfiles(deps: ProfilesDeps) {
  const { log, now, store, watch, boots, events } = deps
  const { settleMs = 10_000 } = deps
  const stop = new AbortController()
  /** Containers whose boot was taken down already; told by the boot's token, for a restart is another boot. */
  const taken = new Set<string>()

  const end = events.listen((event) => {
    if (event.kind !== 'container' || event.action !== 'stage' || event.attributes['stage'] !== 'running') return
    sleep(settleMs, stop.signal)
      .then(() => take(event.subjectId))
      .catch((error: unknown) => {
        if (!stop.signal.aborted) log.warn('boot profile not taken', { error: explain(error) })
      })
  })

  /** Takes a boot down, once; a boot that did not come up teaches nothing. */
  async function take(containerId: string): Promise<void> {
    const [container, boot] = await Promise.all([deps.containerById(containerId), boots.byContainer(containerId)])
    if (!boot || container?.rootfs !== 'lazy' || container.rootHash === undefined || taken.has(boot.token)) return
    const bootMs = bootTime(await events.history({ subjectId: containerId, sinceMs: boot.createdAt }))
    const deviceBlocks = await deps.blocksOfDevice(container.rootHash)
    if (bootMs === undefined || deviceBlocks === undefined) return
    taken.add(boot.token)
    const { rootHash } = container
    const known = await store.profile(rootHash)
    // A profile that is younger than the boot was not there to be given to it.
    const isAhead = known !== undefined && known.recordedAtMs < boot.createdAt
    const bytesSent = await watch.bytesSent(boot.token)
    await store.putMeasure({ rootHash, containerId, isAhead, bootMs, bytesSent, atMs: now() })
    if (known !== undefined) return
    const ranges = tidyRanges(await watch.touched(boot.token), deviceBlocks)
    if (ranges.length === 0) return
    await store.putProfile({ rootHash, ranges, recordedAtMs: now() })
    log.info('boot profile taken', { containerId, rootHash, ranges: ranges.length, blocks: blocksOf(ranges) })
  }

  return {
    /** What an earlier boot of a device has read; undefined when there was none yet. */
    of: (rootHash: string): Promise<Profile | undefined> => store.profile(rootHash),

    /** The last boots with and without a profile. */
    measures: (rootHash: string): Promise<readonly BootMeasure[]> => store.measures(rootHash),

    /** The next boot of the device is taken down anew. */
    forget: (rootHash: string): Promise<void> => store.remove(rootHash),

    /** To be called before a boot is ended: one that was short is taken down here. */
    async ending(containerId: string): Promise<void> {
      try {
        await take(containerId)
      } catch (error) {
        log.warn('boot profile not taken', { containerId, error: explain(error) })
      }
    },

    [Symbol.asyncDispose](): Promise<void> {
      end()
      stop.abort()
      return Promise.resolve()
    },
  }
}

/** Milliseconds from the initrd's first word to `running`, by the events of one boot. */
function bootTime(history: readonly Event[]): number | undefined {
  const atOf = (stage: string): number | undefined =>
    history.find((event) => event.action === 'stage' && event.attributes['stage'] === stage)?.at
  const [begun, up] = [atOf('initrd'), atOf('running')]
  return begun === undefined || up === undefined ? undefined : up - begun
}
