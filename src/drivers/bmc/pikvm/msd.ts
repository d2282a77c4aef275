/** PiKVM's mass storage device: images in its storage, and which of them the machine sees as a USB drive or CD. */
import { AppError } from '../../../base/errors.ts'
import { parseMsd, parseProgressEnd, type MsdState } from '../../../wire/pikvm/answers.ts'
import { explained, type PikvmApi } from './pikvm-api.ts'

export interface MsdParameters {
  readonly image: string
  readonly isCdrom: boolean
  readonly isWritable: boolean
}

/** Each throws AppError as PikvmApi.ask, `conflict` also when the device is not in the state for it, and `timeout`. */
export interface Msd {
  status(signal?: AbortSignal): Promise<MsdState>
  /** Writes an image into its storage. @param sizeBytes must be right: PiKVM wants to know it first */
  write(image: string, bytes: AsyncIterable<Uint8Array>, sizeBytes: number, signal?: AbortSignal): Promise<void>
  /** Has PiKVM fetch an image from a URL; returns when it has all of it. */
  writeRemote(image: string, url: string, signal?: AbortSignal): Promise<void>
  /** Chooses what the machine sees, while it is not connected; read back. @throws {AppError} `bad_peer` when it kept something else */
  setParameters(parameters: MsdParameters, signal?: AbortSignal): Promise<void>
  /** Plugs the drive in, or pulls it out; nothing is sent where it is so already, and it is read back. */
  setConnected(isConnected: boolean, signal?: AbortSignal): Promise<void>
  remove(image: string, signal?: AbortSignal): Promise<void>
}

/** A whole image over a slow link. */
const WRITE_MS = 3_600_000

export function createMsd(api: PikvmApi): Msd {
  const { address } = api
  const post = (what: string, query: Record<string, string | number | boolean>, signal?: AbortSignal) =>
    api.ask('POST', `/api/msd/${what}`, query, { signal })
  const status = async (signal?: AbortSignal): Promise<MsdState> => {
    const state = parseMsd(await api.ask('GET', '/api/msd', {}, { signal }))
    if (!state.isEnabled)
      throw new AppError(
        'unsupported',
        `Cannot use the drive of PiKVM "${address}": it is disabled in its configuration`,
      )
    return state
  }
  const keeps = (isSo: boolean, what: string): void => {
    if (!isSo) throw new AppError('bad_peer', `Cannot ${what} of PiKVM "${address}": it said ok and kept what it had`)
  }
  const told = <T>(work: () => Promise<T>): Promise<T> => explained(address, work)

  return {
    status: (signal) => told(() => status(signal)),

    write: (image, bytes, sizeBytes, signal) =>
      told(async () => {
        const headers = { 'content-length': String(sizeBytes), 'content-type': 'application/octet-stream' }
        const query = { image, remove_incomplete: 1 }
        await api.ask('POST', '/api/msd/write', query, { headers, body: bytes, timeoutMs: WRITE_MS, signal })
      }),

    writeRemote: (image, url, signal) =>
      told(async () => {
        const query = { url, image, timeout: 10, remove_incomplete: 1 }
        const progress = await api.ask('POST', '/api/msd/write_remote', query, { timeoutMs: WRITE_MS, signal })
        const error = parseProgressEnd(progress)
        if (error) throw api.declined(400, `the image "${image}"`, error)
      }),

    setParameters: ({ image, isCdrom, isWritable }, signal) =>
      told(async () => {
        await post('set_params', { image, cdrom: isCdrom, rw: isWritable }, signal)
        const { drive } = await status(signal)
        keeps(
          drive?.image === image && drive.isCdrom === isCdrom && drive.isWritable === isWritable,
          `choose "${image}" for the drive`,
        )
      }),

    setConnected: (isConnected, signal) =>
      told(async () => {
        if ((await status(signal)).drive?.isConnected === isConnected) return
        await post('set_connected', { connected: isConnected }, signal)
        const { drive } = await status(signal)
        keeps(drive?.isConnected === isConnected, `${isConnected ? 'connect' : 'disconnect'} the drive`)
      }),

    remove: (image, signal) => told(async () => void (await post('remove', { image }, signal))),
  }
}
