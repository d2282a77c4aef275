/**
 * Media in machines: put into a drive of the BMC, served to it under a name that nobody can guess, and taken out again. What a daemon leaves behind,
 * the next one ends. What somebody else has inserted is named, and stays.
 */
import { sleep } from '../../base/clock.ts'
import { AppError, explain } from '../../base/errors.ts'
import type { Task } from '../../base/task.ts'
import type { AttachedMedium, AttachOptions, MachineMedia } from '../../model/media.ts'
import type { BootFile } from '../boot/boot.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { BmcDrive } from '../power/power-port.ts'
import type { PowerService } from '../power/power.ts'
import { createBootMedium } from './boot-medium.ts'
import { createInsertion, eventOf, isOurs, type Attached, type InsertionDeps } from './insertion.ts'
import type { Attachment } from './ports.ts'

export interface AttachmentsDeps extends InsertionDeps {
  readonly power: Pick<PowerService, 'portOf' | 'status' | 'set' | 'setBoot'>
  readonly machineById: (machineId: string) => Promise<StoredMachine | undefined>
  readonly isLive: (containerId: string) => Promise<boolean>
  /** Between two looks for what is to be taken out, milliseconds. */
  readonly sweepMs?: number
  /** How long a BMC may take to show what a daemon that ended has asked of it, milliseconds. */
  readonly settleMs?: number
}

export type AttachmentsService = ReturnType<typeof createAttachments>

const SWEEP_MS = 30_000
const SETTLE_MS = 30_000
const SETTLE_POLL_MS = 1000

export function createAttachments(deps: AttachmentsDeps) {
  const { log, store, files, power, now, settleMs = SETTLE_MS } = deps
  const insertion = createInsertion(deps)
  const { served, within, inTurn, mediaOf, takeOut } = insertion

  /** @throws {AppError} conflict, saying what the machine has */
  async function refuseSecond(machine: StoredMachine): Promise<void> {
    const open = await store.openOf(machine.id)
    if (!open) return
    const doing = open.state === 'attached' ? 'attached' : open.state
    const whose =
      open.containerId === undefined
        ? `; take it out with: bareboat media detach ${machine.name}`
        : `, for container ${open.containerId.slice(0, 12)}`
    throw new AppError(
      'conflict',
      `Cannot attach a medium to "${machine.name}": "${open.name}" is ${doing} in drive "${open.drive}"${whose}`,
    )
  }

  /** @throws {AppError} conflict, unsupported, invalid: before anything is made, or asked of the BMC but its power */
  async function refuse(machine: StoredMachine, options: AttachOptions): Promise<void> {
    await mediaOf(machine)
    await refuseSecond(machine)
    if (!options.boot) {
      if (options.cycle)
        throw new AppError('invalid', 'Cannot cycle without booting from the medium: give boot as well')
      return
    }
    if (machine.containerId !== undefined)
      throw new AppError(
        'conflict',
        `Cannot boot "${machine.name}" from a medium: it runs container ${machine.containerId.slice(0, 12)}`,
      )
    const { can } = await power.portOf(machine)
    if (!can.has('boot-override'))
      throw new AppError(
        'unsupported',
        `Cannot boot "${machine.name}" from a medium once: its BMC can only ${[...can].join(', ')}; set the drive first in the boot order of its firmware, attach without --boot, and switch it on`,
      )
    if (!options.cycle && (await power.status(machine)) !== 'off')
      throw new AppError(
        'conflict',
        `Cannot boot "${machine.name}" from a medium: it is not off; --cycle switches it off first`,
      )
  }

  /** What an earlier daemon was about to do when it ended. */
  async function settle(machine: StoredMachine, attachment: Attachment): Promise<void> {
    const endAt = attachment.createdAt + settleMs
    const media = await mediaOf(machine)
    for (;;) {
      const drives = await media.drives(within())
      if (drives.some((drive) => drive.id === attachment.drive && isOurs(media, drive, attachment)))
        return store.patch(attachment.id, { state: 'attached' }, eventOf(machine, attachment, 'media-attach'))
      if (now() >= endAt) break
      await sleep(Math.min(SETTLE_POLL_MS, Math.max(1, endAt - now())), insertion.signal)
    }
    await takeOut(machine, attachment, 'the daemon ended before the medium was seen in the drive')
  }

  /** Ends what is over: expired, half taken out, or of a container that is over. */
  async function sweep(isFirst: boolean): Promise<void> {
    for (const { id, machineId } of await store.open())
      await inTurn(machineId, async () => {
        const attachment = (await store.open()).find((one) => one.id === id)
        const machine = await deps.machineById(machineId)
        if (!attachment || !machine) return
        const { containerId } = attachment
        // A container's own daemon sees to it, until it is on its way out.
        const isInUse = containerId !== undefined && (await deps.isLive(containerId))
        if (isInUse && attachment.state !== 'detaching') return
        if (attachment.state === 'attaching' && isFirst && containerId === undefined) await settle(machine, attachment)
        else if (attachment.state === 'detaching' || attachment.expiresAt <= now() || containerId !== undefined)
          await takeOut(machine, attachment, attachment.expiresAt <= now() ? 'its time was over' : undefined)
      }).catch((error: unknown) => log.debug('medium not taken out yet', { medium: id, why: explain(error) }))
  }

  async function boot(machine: StoredMachine, attachment: Attachment): Promise<void> {
    const firmware = machine.firmware ?? 'uefi'
    try {
      await power.setBoot(machine, { device: attachment.kind, firmware, once: true }, within())
      await power.set(machine, 'off')
      await power.set(machine, 'on')
    } catch (error) {
      await power.setBoot(machine, { device: 'none', firmware, once: true }).catch(() => {})
      await takeOut(machine, attachment, explain(error)).catch(() => {})
      throw error
    }
  }

  return {
    refuse,
    mediaOf,

    /** What the drives hold, asked of the BMC now. @throws {AppError} unsupported, and as BmcMedia.drives */
    async list(machine: StoredMachine): Promise<MachineMedia> {
      const media = await mediaOf(machine)
      const drives = await media.drives(within())
      const open = await store.openOf(machine.id)
      return {
        drives: drives.map(({ inserted, ...drive }) => {
          const ours =
            open !== undefined && isOurs(media, { ...drive, ...(inserted === undefined ? {} : { inserted }) }, open)
          const shown = ours ? open.name : shownOf(inserted)
          return {
            ...drive,
            kinds: [...drive.kinds],
            isOurs: ours,
            ...(shown === undefined ? {} : { inserted: shown }),
          }
        }),
        ...(open ? { medium: viewOf(open) } : {}),
      }
    },

    /**
     * Puts a medium into a drive, and returns when the BMC shows it there; with `boot`, when the machine was seen to be on.
     * @throws {AppError} as `refuse`, `chooseDrive` and BmcMedia.insert; then it is in no drive
     */
    attach(machine: StoredMachine, what: Attached, options: AttachOptions): Promise<AttachedMedium> {
      return inTurn(machine.id, async () => {
        await refuse(machine, options)
        const { attachment, medium } = await insertion.begin(machine, what, options, undefined)
        await insertion.insert(machine, attachment, medium)
        if (options.boot) await boot(machine, attachment)
        return viewOf({ ...attachment, state: 'attached' })
      })
    },

    /**
     * Takes out the medium of this server, or what is in a drive that is named.
     * @returns what was taken out
     * @throws {AppError} not_found where there is nothing of ours; conflict for the medium of a container
     */
    detach(machine: StoredMachine, driveId: string | undefined): Promise<string> {
      return inTurn(machine.id, async () => {
        const open = await store.openOf(machine.id)
        if (open && (driveId === undefined || driveId === open.drive)) {
          if (open.containerId !== undefined && (await deps.isLive(open.containerId)))
            throw new AppError(
              'conflict',
              `Cannot detach "${open.name}" from "${machine.name}": container ${open.containerId.slice(0, 12)} boots from it`,
            )
          await takeOut(machine, open)
          return open.name
        }
        const media = await mediaOf(machine)
        const drives = await media.drives(within())
        const drive = drives.find(({ id }) => id === driveId)
        if (drive?.inserted !== undefined) {
          await media.eject(drive.id, within())
          return shownOf(drive.inserted)!
        }
        throw nothingIn(machine.name, drives, driveId)
      })
    },

    /** Those that are not over, of all machines. */
    opened: () => store.open(),

    /** What a BMC asks for. @throws {AppError} not_found, in equal words for every token that opens nothing */
    async file(token: string, name: string): Promise<BootFile> {
      const attachment = await store.byToken(token)
      const isOpen =
        attachment && attachment.name === name && attachment.state !== 'detaching' && attachment.expiresAt > now()
      const file = isOpen ? await served.file(attachment).catch(() => undefined) : undefined
      if (!attachment || !file) throw new AppError('not_found', 'Cannot find what this address stood for')
      if (attachment.readAt === undefined) await store.patch(attachment.id, { readAt: now() })
      return file
    },

    /** For the boot of a container. */
    boot: createBootMedium({ log, store, insertion, url: deps.url, refuseSecond }),

    /** Ends what an earlier daemon left behind, and from time to time what is over. */
    task: {
      name: 'media',
      async run(signal, ready) {
        ready()
        signal.addEventListener('abort', () => insertion.end(signal.reason), { once: true })
        const left = await store.open()
        await files.tidy(new Set(left.map(({ id }) => id)))
        // What an image's medium is made of must stay, whether or not it is asked for just now.
        for (const attachment of left)
          if (attachment.state === 'attached') await served.readable(attachment).catch(() => {})
        for (let isFirst = true; !signal.aborted; isFirst = false) {
          await sweep(isFirst)
          await sleep(deps.sweepMs ?? SWEEP_MS, signal).catch(() => {})
        }
      },
    } satisfies Task,
  }
}

/** A URL for people: what is behind `?`, or the token of a medium of whichever server, opens things. */
function shownOf(inserted: string | undefined): string | undefined {
  return inserted?.replace(/[?#].*/s, '').replace(/\/media\/[A-Za-z0-9_-]{43}\//, '/media/****/')
}

function nothingIn(machine: string, drives: readonly BmcDrive[], driveId: string | undefined): AppError {
  const full = drives.filter(({ inserted }) => inserted !== undefined)
  const list = full.map(({ id, inserted }) => `"${id}" holds "${shownOf(inserted)}"`).join(', ')
  const help =
    driveId === undefined && full.length > 0
      ? `; drive ${list}, which this server has not attached: take it out with --drive ${full[0]!.id}`
      : driveId === undefined
        ? '; its drives are empty'
        : ''
  const what = driveId === undefined ? `this server has attached none` : `drive "${driveId}" is empty, or there is none`
  return new AppError('not_found', `Cannot detach a medium from "${machine}": ${what}${help}`)
}

function viewOf(attachment: Attachment): AttachedMedium {
  const { name, of, drive, kind, isWritable, sizeBytes, state, containerId, createdAt, expiresAt, readAt } = attachment
  return {
    ...{ name, of, drive, kind, isWritable, sizeBytes, state, createdAt, expiresAt },
    ...(containerId === undefined ? {} : { container: containerId }),
    ...(readAt === undefined ? {} : { readAt }),
  }
}
