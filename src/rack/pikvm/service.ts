/**
 * The HTTP API of a PiKVM at one machine (docs.pikvm.org/api; kvmd/apps/kvmd/api/{auth,atx,msd}.py): its ATX board, which looks at the power
 * LED and presses buttons, and its mass storage device. It cannot choose what the machine boots from.
 */
import type { Readable } from 'node:stream'
import { AppError, explain } from '../../base/errors.ts'
import type { ChassisCommand, VirtualMachine } from '../machine.ts'
import { DRIVES, type Drive } from '../medium.ts'
import { isSame, readBody, type WebAnswer, type WebHandler, type WebRequest } from '../web.ts'
import { PikvmError } from './error.ts'
import type { Storage } from './storage.ts'

export interface PikvmServiceOptions {
  readonly machine: VirtualMachine
  readonly storage: Storage
  readonly user: string
  readonly password: string
}

const BODY_MAX = 4096
const REMOTE_MS = 3_600_000

/** `on` presses only while the LED is dark, all else only while it is lit; both are answered 200 (kvmd/plugins/atx/gpio.py). */
const ACTIONS: Readonly<Record<string, { readonly whileOn: boolean; readonly command: ChassisCommand }>> = {
  on: { whileOn: false, command: 'power-on' },
  off: { whileOn: true, command: 'soft-off' },
  off_hard: { whileOn: true, command: 'power-off' },
  reset_hard: { whileOn: true, command: 'reset' },
}

export function createPikvmService({ machine, storage, user, password }: PikvmServiceOptions): WebHandler {
  /** What was chosen for the drive; whether the machine sees it is for the machine to say. */
  let chosen: { readonly image: string | undefined; readonly isCdrom: boolean; readonly isWritable: boolean } = {
    image: undefined,
    isCdrom: true,
    isWritable: false,
  }

  /** The drive of the machine in which an image of ours is. */
  function connected(): Drive | undefined {
    const path = chosen.image === undefined ? undefined : storage.pathOf(chosen.image)
    return DRIVES.find((drive) => path !== undefined && machine.media[drive]?.source === path)
  }

  function checkLogin({ headers }: WebRequest): void {
    const basic = /^Basic ([A-Za-z0-9+/=]{1,1024})$/.exec(headers.authorization ?? '')?.[1]
    const [, basicUser, basicPassword] = /^([^:]*):(.*)$/s.exec(Buffer.from(basic ?? '', 'base64').toString()) ?? []
    const given = [headers['x-kvmd-user'] ?? basicUser, headers['x-kvmd-passwd'] ?? basicPassword]
    const [asUser, withPassword] = given
    if (typeof asUser !== 'string' || typeof withPassword !== 'string')
      throw new PikvmError('UnauthorizedError', 'Unauthorized')
    const isUser = isSame(asUser, user)
    if (!isSame(withPassword, password) || !isUser) throw new PikvmError('ForbiddenError', 'Forbidden')
  }

  async function press(action: string): Promise<object> {
    const found = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined
    if (found === undefined) throw new PikvmError('ValidatorError', 'The argument is not a valid ATX power action')
    if (machine.isOn === found.whileOn) await machine.command(found.command, 'pikvm')
    return {}
  }

  async function click(button: string): Promise<object> {
    const commands: Readonly<Record<string, ChassisCommand | undefined>> = {
      power: machine.isOn ? 'soft-off' : 'power-on',
      power_long: machine.isOn ? 'power-off' : 'power-on',
      reset: machine.isOn ? 'reset' : undefined,
    }
    if (!Object.hasOwn(commands, button))
      throw new PikvmError('ValidatorError', 'The argument is not a valid ATX button')
    const command = commands[button]
    if (command !== undefined) await machine.command(command, 'pikvm')
    return {}
  }

  function msdState(): object {
    const images = [...storage.list()]
    const { image, isCdrom, isWritable } = chosen
    const size = images.find(([name]) => name === image)?.[1]
    return {
      enabled: true,
      online: true,
      busy: false,
      drive: {
        image:
          image === undefined ? null : { name: image, size: size ?? 0, complete: true, in_storage: size !== undefined },
        connected: connected() !== undefined,
        cdrom: isCdrom,
        rw: isWritable,
      },
      storage: {
        images: Object.fromEntries(
          images.map(([name, bytes]) => [name, { size: bytes, complete: true, removable: true }]),
        ),
        parts: {},
        uploading: null,
        downloading: null,
      },
    }
  }

  async function write(query: URLSearchParams, { headers, stream }: WebRequest): Promise<object> {
    const size = Number(/^\d{1,15}$/.exec(headers['content-length'] ?? '')?.[0] ?? Number.NaN)
    if (Number.isNaN(size)) throw new PikvmError('ValidatorError', 'The argument is not a valid Content-Length')
    const image = query.get('image') ?? ''
    await storage.write(image, stream as AsyncIterable<Uint8Array>, size)
    return { image: { name: image, size, written: size } }
  }

  /** A line for each piece, as kvmd tells of its progress; the last one says how it ended. */
  async function* writeRemote(image: string, source: Response, size: number): AsyncGenerator<string> {
    const line = (written: number) => `${JSON.stringify(answerOf({ image: { name: image, size, written } }))}\r\n`
    let said = 0
    let seen = 0
    try {
      yield line(0)
      const written = storage.write(image, source.body as AsyncIterable<Uint8Array>, size, (bytes) => (seen = bytes))
      written.catch(() => undefined)
      for (let isOver = false; !isOver;) {
        isOver = await Promise.race([written.then(() => true), new Promise<false>((go) => setTimeout(go, 200, false))])
        if (seen > said) yield line((said = seen))
      }
      yield line(size)
    } catch (error) {
      const { name, message } = error instanceof PikvmError ? error : new PikvmError('MsdError', explain(error))
      yield `${JSON.stringify({ ok: false, result: { error: name, error_msg: message } })}\r\n`
    }
  }

  async function fetchRemote(query: URLSearchParams): Promise<WebAnswer> {
    const url = query.get('url') ?? ''
    const image = query.get('image') ?? ''
    storage.pathOf(image)
    if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
      throw new PikvmError('ValidatorError', 'The argument is not a valid URL')
    let source: Response
    try {
      source = await fetch(url, { signal: AbortSignal.timeout(REMOTE_MS) })
    } catch (error) {
      throw new PikvmError('ClientConnectorError', explain(error))
    }
    const size = Number(source.headers.get('content-length') ?? Number.NaN)
    if (source.status !== 200 || !Number.isSafeInteger(size)) {
      await source.body?.cancel()
      throw new PikvmError('ClientResponseError', `The server answers ${source.status}, or does not say how long it is`)
    }
    return { status: 200, headers: { 'content-type': 'application/x-ndjson' }, body: writeRemote(image, source, size) }
  }

  function setParameters(query: URLSearchParams): object {
    if (connected() !== undefined)
      throw new PikvmError('MsdConnectedError', 'MSD is connected to Server, but should not for this operation')
    const image = query.get('image')
    if (image !== null && image !== '' && !storage.list().has(image))
      throw new PikvmError('MsdUnknownImageError', 'The image is not found in the storage')
    chosen = {
      image: image === null ? chosen.image : image === '' ? undefined : image,
      isCdrom: flag(query, 'cdrom') ?? chosen.isCdrom,
      isWritable: flag(query, 'rw') ?? chosen.isWritable,
    }
    return {}
  }

  async function setConnected(query: URLSearchParams): Promise<object> {
    const isWanted = flag(query, 'connected')
    if (isWanted === undefined) throw new PikvmError('ValidatorError', 'The argument connected is missing')
    const drive = connected()
    if (!isWanted) {
      if (drive === undefined)
        throw new PikvmError(
          'MsdDisconnectedError',
          'MSD is disconnected from Server, but should be for this operation',
        )
      await machine.eject(drive, 'pikvm')
      return {}
    }
    if (drive !== undefined)
      throw new PikvmError('MsdConnectedError', 'MSD is connected to Server, but should not for this operation')
    const { image, isCdrom, isWritable } = chosen
    if (image === undefined) throw new PikvmError('MsdImageNotSelected', 'The image is not selected')
    if (!storage.list().has(image))
      throw new PikvmError('MsdUnknownImageError', 'The image is not found in the storage')
    const source = storage.pathOf(image)
    await machine.insert(isCdrom ? 'cd' : 'usb', { source, isWritable: isWritable && !isCdrom }, 'pikvm')
    return {}
  }

  function remove(query: URLSearchParams): object {
    const image = query.get('image') ?? ''
    if (chosen.image === image) {
      if (connected() !== undefined)
        throw new PikvmError('MsdConnectedError', 'MSD is connected to Server, but should not for this operation')
      chosen = { ...chosen, image: undefined }
    }
    storage.remove(image)
    return {}
  }

  async function reset(): Promise<object> {
    const drive = connected()
    if (drive !== undefined) await machine.eject(drive, 'pikvm')
    chosen = { image: undefined, isCdrom: true, isWritable: false }
    return {}
  }

  async function answer(request: WebRequest): Promise<WebAnswer> {
    checkLogin(request)
    const { query, stream } = request
    const route = `${request.method} ${request.path}`
    if (route === 'POST /api/msd/write') return ok(await write(query, request))
    await drained(stream)
    switch (route) {
      case 'GET /api/auth/check':
        return ok({})
      case 'GET /api/atx':
        return ok({ enabled: true, busy: false, leds: { power: machine.isOn, hdd: false } })
      case 'POST /api/atx/power':
        return ok(await press(query.get('action') ?? ''))
      case 'POST /api/atx/click':
        return ok(await click(query.get('button') ?? ''))
      case 'GET /api/msd':
        return ok(msdState())
      case 'POST /api/msd/write_remote':
        return await fetchRemote(query)
      case 'POST /api/msd/set_params':
        return ok(setParameters(query))
      case 'POST /api/msd/set_connected':
        return ok(await setConnected(query))
      case 'POST /api/msd/remove':
        return ok(remove(query))
      case 'POST /api/msd/reset':
        return ok(await reset())
      default:
        throw new PikvmError('NotFoundError', 'Not Found')
    }
  }

  return async (request) => {
    try {
      return await answer(request)
    } catch (error) {
      if (error instanceof PikvmError) return declined(error)
      // The machine has no mains power, or QEMU declined.
      if (error instanceof AppError) return declined(new PikvmError('OperationError', explain(error)))
      throw error
    }
  }
}

/** Everything but an image is in the query. */
async function drained(stream: Readable): Promise<void> {
  try {
    await readBody(stream, BODY_MAX)
  } catch {
    throw new PikvmError('ValidatorError', `The body has more than ${BODY_MAX} bytes`)
  }
}

function flag(query: URLSearchParams, name: string): boolean | undefined {
  const value = query.get(name)
  if (value === null) return undefined
  if (/^(1|true|yes)$/i.test(value)) return true
  if (/^(0|false|no)$/i.test(value)) return false
  throw new PikvmError('ValidatorError', `The argument ${name} is not a valid bool`)
}

function ok(result: object): WebAnswer {
  return json(200, answerOf(result))
}

function declined({ status, name, message }: PikvmError): WebAnswer {
  return json(status, { ok: false, result: { error: name, error_msg: message } })
}

function answerOf(result: object): object {
  return { ok: true, result }
}

function json(status: number, body: object): WebAnswer {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
}
