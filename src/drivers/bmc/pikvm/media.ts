/**
 * PiKVM's mass storage device as virtual media. It shows a file of its own storage, into which a medium has to come first: PiKVM fetches it, which
 * keeps the bytes off our control loop, or is sent it where it cannot reach us. Files of ours have a name that says so, and go when they are not in use.
 */
import { AppError, explain } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { BmcDrive, BmcMedia, Medium } from '../../../services/power/power-port.ts'
import type { MsdState } from '../../../wire/pikvm/answers.ts'
import type { Msd } from './msd.ts'

const DRIVE = 'msd'
const OURS = /^bareboat-[A-Za-z0-9_-]{8}-/

export function createPikvmMedia(msd: Msd, address: string, log: Log): BmcMedia {
  /** Removes what earlier media have left in the storage. */
  async function tidy(state: MsdState, signal?: AbortSignal): Promise<void> {
    for (const image of state.images.filter((name) => OURS.test(name))) await msd.remove(image, signal)
  }

  async function store(image: string, medium: Medium, signal?: AbortSignal): Promise<void> {
    try {
      if (medium.url !== undefined) return await msd.writeRemote(image, medium.url, signal)
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof AppError)) throw error
      log.debug('PiKVM could not fetch the medium, and is sent it', { why: masked(explain(error), medium) })
      const left = await msd.status(signal)
      if (left.images.includes(image)) await msd.remove(image, signal)
    }
    await msd.write(image, medium.read(signal ?? new AbortController().signal), medium.sizeBytes, signal)
  }

  return {
    async drives(signal) {
      const state = await msd.status(signal)
      return state.drive === undefined ? [] : [driveOf(state)]
    },

    async insert(driveId, medium, signal) {
      const state = await stateOf(driveId, signal)
      const { inserted } = driveOf(state)
      if (inserted !== undefined)
        throw new AppError(
          'conflict',
          `Cannot insert a medium into the drive of PiKVM "${address}": it holds "${inserted}", which stays there; take it out first`,
        )
      await tidy(state, signal)
      const image = imageName(medium)
      try {
        await store(image, medium, signal)
        await msd.setParameters({ image, isCdrom: medium.kind === 'cd', isWritable: medium.isWritable }, signal)
        await msd.setConnected(true, signal)
      } catch (error) {
        if (!(error instanceof AppError)) throw error
        throw new AppError(error.code, masked(explain(error), medium))
      }
      return driveOf(await msd.status(signal))
    },

    async eject(driveId, signal) {
      await stateOf(driveId, signal)
      await msd.setConnected(false, signal)
      await tidy(await msd.status(signal), signal)
    },

    holds: ({ inserted }, medium) => inserted === imageName(medium),
  }

  async function stateOf(driveId: string, signal?: AbortSignal): Promise<MsdState> {
    if (driveId !== DRIVE)
      throw new AppError('not_found', `Cannot find drive "${driveId}" of PiKVM "${address}": it has ${DRIVE}`)
    const state = await msd.status(signal)
    if (state.drive) return state
    throw new AppError('conflict', `Cannot use the drive of PiKVM "${address}": its storage is not there`)
  }
}

/** A file that is chosen and not connected is seen by no machine. */
function driveOf({ drive }: MsdState): BmcDrive {
  const isIn = drive?.isConnected === true
  return {
    id: DRIVE,
    kinds: ['cd', 'usb'],
    ...(isIn ? { inserted: drive.image ?? 'an image without a name', isWriteProtected: !drive.isWritable } : {}),
  }
}

/** The name of a medium in the storage; of its secret a part, which opens nothing. */
function imageName({ name, secret }: Pick<Medium, 'name' | 'secret'>): string {
  return `bareboat-${secret.slice(0, 8)}-${name}`
}

function masked(message: string, { secret }: Medium): string {
  return message.replaceAll(secret, '****')
}
