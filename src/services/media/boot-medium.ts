/** The medium that a container's machine boots from: the loader with the address of this one boot, in the drive from before power-on until it runs. */
import type { Log } from '../../base/log.ts'
import { DEFAULT_MEDIA_LABEL, type MediumKind } from '../../model/media.ts'
import type { StoredMachine } from '../machines/ports.ts'
import { isOurs, type Insertion } from './insertion.ts'
import type { Attachment, AttachmentStore } from './ports.ts'

export interface BootMediumDeps {
  readonly log: Log
  readonly store: Pick<AttachmentStore, 'openOf'>
  readonly insertion: Insertion
  /** See InsertionDeps. */
  readonly url: string | undefined
  /** @throws {AppError} conflict where the machine has a medium */
  readonly refuseSecond: (machine: StoredMachine) => Promise<void>
}

export type BootMedium = ReturnType<typeof createBootMedium>

/** After the end of the whole run nothing is served any more, whatever becomes of its container. */
const SPARE_SECONDS = 900

export function createBootMedium({ log, store, insertion, url, refuseSecond }: BootMediumDeps) {
  const { inTurn, mediaOf, within } = insertion

  async function ofContainer(machine: StoredMachine, containerId: string): Promise<Attachment | undefined> {
    const open = await store.openOf(machine.id)
    return open?.containerId === containerId ? open : undefined
  }

  return {
    /**
     * Puts the loader of a boot into the machine, where it is not in it already.
     * @param scriptUrl what it asks for
     * @param seconds how long the run may take
     * @returns what the machine is to boot from
     * @throws {AppError} as chooseDrive and BmcMedia.insert; conflict where the machine has another medium of this server
     */
    mount(machine: StoredMachine, containerId: string, scriptUrl: string, seconds: number): Promise<MediumKind> {
      return inTurn(machine.id, async () => {
        const open = await ofContainer(machine, containerId)
        if (open?.state === 'attached' && loads(open, scriptUrl)) return open.kind
        // Of an earlier boot, or one of which nobody knows whether it came into the drive.
        if (open) await insertion.takeOut(machine, open)
        await refuseSecond(machine)
        const made = { loader: true, scriptUrl } as const
        const what = { made, options: { format: 'iso', label: DEFAULT_MEDIA_LABEL }, of: 'loader' } as const
        const options = { isWritable: false, boot: false, cycle: false, expiresSeconds: seconds + SPARE_SECONDS }
        const { attachment, medium } = await insertion.begin(machine, what, options, containerId)
        await insertion.insert(machine, attachment, medium)
        return attachment.kind
      })
    },

    /** Puts it in again where the drive has lost it, as some BMCs do when power changes. @returns whether it had to be */
    keep(machine: StoredMachine, containerId: string): Promise<boolean> {
      return inTurn(machine.id, async () => {
        const open = await ofContainer(machine, containerId)
        if (open?.state !== 'attached') return false
        const media = await mediaOf(machine)
        const drive = (await media.drives(within())).find(({ id }) => id === open.drive)
        if (!drive || drive.inserted !== undefined) return false
        log.warn('drive has lost its medium, which is inserted again', { machine: machine.name, drive: open.drive })
        const readable = await insertion.served.readable(open)
        await media.insert(open.drive, insertion.mediumOf(open, readable), within())
        return true
      })
    },

    /** Takes it out. Nothing to do where there is none. */
    async unmount(machine: StoredMachine, containerId: string): Promise<void> {
      await inTurn(machine.id, async () => {
        const open = await ofContainer(machine, containerId)
        if (open) await insertion.takeOut(machine, open)
      })
    },

    /** Why a machine may not have come further, as far as its drive tells; undefined where that shows nothing. */
    async hint(machine: StoredMachine, containerId: string): Promise<string | undefined> {
      const open = await ofContainer(machine, containerId)
      if (!open) return undefined
      const media = await mediaOf(machine)
      const drive = (await media.drives(within())).find(({ id }) => id === open.drive)
      if (!drive || !isOurs(media, drive, open))
        return `drive "${open.drive}" of its BMC has lost the medium: some drop it when power changes`
      if (open.readAt === undefined && url !== undefined)
        return `the BMC took the medium but never fetched it: can it reach ${url}?`
      return `the medium was read, and iPXE on it did not ask for its script: does the firmware start from drive "${open.drive}", and is there DHCP on its network?`
    },
  }
}

function loads({ source }: Attachment, scriptUrl: string): boolean {
  return 'made' in source && 'loader' in source.made && source.made.scriptUrl === scriptUrl
}
