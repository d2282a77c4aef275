/**
 * Answers of PiKVM's HTTP API (docs.pikvm.org/api; kvmd/apps/kvmd/api/{atx,msd}.py): JSON with `ok` and `result`. What is missing or of
 * another type is refused; what we do not use is not looked at.
 */
import { WireError } from '../../base/errors.ts'

/** The ATX board: what the front panel's LEDs show. */
export interface AtxState {
  /** False: no board, or it is switched off in PiKVM's configuration. */
  readonly isEnabled: boolean
  /** A button is being pressed. */
  readonly isBusy: boolean
  readonly isPowerLedOn: boolean
}

/** The mass storage device that PiKVM shows to the machine over USB. */
export interface MsdState {
  readonly isEnabled: boolean
  /** False: its storage is not there. */
  readonly isOnline: boolean
  /** Something is being written or changed. */
  readonly isBusy: boolean
  /** What the machine would see; undefined while it is not online. */
  readonly drive?: {
    readonly image?: string
    readonly isConnected: boolean
    readonly isCdrom: boolean
    readonly isWritable: boolean
  }
  /** Names of the images in its storage. */
  readonly images: readonly string[]
}

/** Why a request was declined. `name` is a class of kvmd, such as `MsdConnectedError` or `IsBusyError`. */
export interface PikvmError {
  readonly name: string
  readonly message: string
}

const WHAT = 'PiKVM answer'
const MAX_BYTES = 1024 * 1024
const MAX_IMAGES = 4096
const MAX_NAME = 512

type Fields = Readonly<Record<string, unknown>>

/** `GET /api/atx` @throws {WireError} */
export function parseAtx(bytes: Uint8Array): AtxState {
  const result = resultOf(parseJson(bytes))
  return {
    isEnabled: flag(result, 'enabled'),
    isBusy: flag(result, 'busy'),
    isPowerLedOn: flag(object(result['leds'], 'leds'), 'power'),
  }
}

/** `GET /api/msd` @throws {WireError} */
export function parseMsd(bytes: Uint8Array): MsdState {
  const result = resultOf(parseJson(bytes))
  const state = {
    isEnabled: flag(result, 'enabled'),
    isOnline: flag(result, 'online'),
    isBusy: flag(result, 'busy'),
  }
  if (result['drive'] === null || result['drive'] === undefined) return { ...state, images: [] }
  const drive = object(result['drive'], 'drive')
  const storage = result['storage'] === null ? {} : object(result['storage'], 'storage')
  const images = storage['images'] === undefined ? [] : Object.keys(object(storage['images'], 'images'))
  if (images.length > MAX_IMAGES || images.some((name) => name.length > MAX_NAME))
    throw new WireError(WHAT, `it has more than ${MAX_IMAGES} images, or one with a name over ${MAX_NAME} characters`)
  return {
    ...state,
    drive: {
      ...(drive['image'] === null ? {} : { image: text(object(drive['image'], 'image'), 'name') }),
      isConnected: flag(drive, 'connected'),
      isCdrom: flag(drive, 'cdrom'),
      isWritable: flag(drive, 'rw'),
    },
    images,
  }
}

/** The error in an answer, or undefined when there is none to be read. Never throws. */
export function parsePikvmError(bytes: Uint8Array): PikvmError | undefined {
  try {
    const whole = object(parseJson(bytes), 'it')
    if (whole['ok'] !== false) return undefined
    const result = object(whole['result'], 'result')
    return { name: text(result, 'error').slice(0, 64), message: text(result, 'error_msg').slice(0, 300) }
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}

/**
 * The last line of a stream of progress (`POST /api/msd/write_remote`): one JSON document per line, the last of which tells how it ended.
 * @returns the error, or undefined when all went well
 * @throws {WireError} when there is no such line
 */
export function parseProgressEnd(bytes: Uint8Array): PikvmError | undefined {
  let end = bytes.length
  while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--
  const last = bytes.subarray(bytes.lastIndexOf(0x0a, end - 1) + 1, end)
  const error = parsePikvmError(last)
  if (!error) resultOf(parseJson(last))
  return error
}

function parseJson(bytes: Uint8Array): unknown {
  if (bytes.length > MAX_BYTES) throw new WireError(WHAT, `${bytes.length} bytes, at most ${MAX_BYTES} are read`)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    throw new WireError(WHAT, 'it is not JSON')
  }
}

function resultOf(value: unknown): Fields {
  const whole = object(value, 'it')
  if (whole['ok'] !== true) throw new WireError(WHAT, 'it does not say that it is ok')
  return object(whole['result'], 'result')
}

function object(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new WireError(WHAT, `${what} is no object`)
  return value as Fields
}

function flag(fields: Fields, key: string): boolean {
  const value = fields[key]
  if (typeof value !== 'boolean') throw new WireError(WHAT, `"${key}" is neither true nor false`)
  return value
}

function text(fields: Fields, key: string): string {
  const value = fields[key]
  if (typeof value !== 'string' || value.length > 4096) throw new WireError(WHAT, `"${key}" is no text`)
  return value
}
