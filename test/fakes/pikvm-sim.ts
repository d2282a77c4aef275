/**
 * A simulated PiKVM: its ATX board with kvmd's LED rules, and its mass storage device. It does what its options say, which is also
 * everything that boards and wiring do wrong.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'

export interface PikvmSimOptions {
  readonly password?: string
  readonly isOn?: boolean
  readonly isAtxDisabled?: boolean
  /** The board is busy for the first so many commands. */
  readonly busyTimes?: number
  /** The LED shows a change so much later, milliseconds. */
  readonly ledLagMs?: number
  /** The LED is not wired: always dark. */
  readonly noLed?: boolean
  /** Answers 200, and the wire to the button is off. */
  readonly ignoresPower?: boolean
  /** Presses, and closes the connection without an answer. */
  readonly losesAnswers?: boolean
  /** What `GET /api/atx` is answered with. */
  readonly garbage?: string
  readonly isMsdOffline?: boolean
  /** Says ok to changes of the drive, and keeps what it has. */
  readonly keepsDrive?: boolean
  readonly tls?: { readonly key: string; readonly cert: string }
  /** How a download of an image ends. */
  readonly remoteEnds?: 'well' | 'badly' | 'cut'
  /** Fetches what it is told to, in earnest. */
  readonly fetches?: boolean
}

export async function startPikvmSim(options: PikvmSimOptions = {}) {
  let busyLeft = options.busyTimes ?? 0
  const timers = new Set<NodeJS.Timeout>()
  const images = new Map<string, number>()
  const drive = { image: undefined as string | undefined, connected: false, cdrom: true, rw: false }
  const state = {
    isOn: options.isOn ?? false,
    isLedOn: options.noLed ? false : (options.isOn ?? false),
    /** Buttons that were pressed, in order. */
    trace: [] as string[],
    drive,
    images,
  }

  function press(action: string): void {
    // kvmd: on presses only while the LED is off, all else only while it is on; both are 200.
    if ((action === 'on') === state.isLedOn) return
    state.trace.push({ on: 'on', off_hard: 'off', off: 'soft-off' }[action] ?? action)
    if (options.ignoresPower) return
    state.isOn = action === 'on'
    const show = () => void (state.isLedOn = state.isOn && !options.noLed)
    if (options.ledLagMs) timers.add(setTimeout(show, options.ledLagMs))
    else show()
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, 'http://pikvm')
    const get = (name: string) => url.searchParams.get(name) ?? ''
    let bodyBytes = 0
    for await (const part of request) bodyBytes += (part as Buffer).length
    const reply = (status: number, ok: boolean, result: object) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ ok, result }))
    const error = (status: number, name: string) => reply(status, false, { error: name, error_msg: `told by ${name}` })
    const user = request.headers['x-kvmd-user']
    if (user === undefined) return void error(401, 'UnauthorizedError')
    if (user !== 'admin' || request.headers['x-kvmd-passwd'] !== (options.password ?? 'secret'))
      return void error(403, 'ForbiddenError')
    switch (`${request.method} ${url.pathname}`) {
      case 'GET /api/atx':
        if (options.garbage !== undefined) return void response.end(options.garbage)
        return void reply(200, true, {
          enabled: !options.isAtxDisabled,
          busy: false,
          leds: { power: state.isLedOn, hdd: false },
        })
      case 'POST /api/atx/power':
        if (options.isAtxDisabled) return void error(400, 'AtxDisabledError')
        if (busyLeft-- > 0) return void error(409, 'AtxIsBusyError')
        press(get('action'))
        return void (options.losesAnswers ? response.destroy() : reply(200, true, {}))
      case 'GET /api/msd':
        return void reply(200, true, {
          enabled: true,
          online: !options.isMsdOffline,
          busy: false,
          drive: options.isMsdOffline
            ? null
            : { ...drive, image: drive.image === undefined ? null : { name: drive.image, complete: true } },
          storage: options.isMsdOffline ? null : { images: Object.fromEntries(images), parts: {}, uploading: null },
        })
      case 'POST /api/msd/write':
        if (images.has(get('image'))) return void error(400, 'MsdImageExistsError')
        images.set(get('image'), bodyBytes)
        return void reply(200, true, { image: { name: get('image'), size: bodyBytes, written: bodyBytes } })
      case 'POST /api/msd/write_remote': {
        const line = (written: number) =>
          `${JSON.stringify({ ok: true, result: { image: { name: get('image'), size: 2, written } } })}\r\n`
        response.writeHead(200, { 'content-type': 'application/x-ndjson' })
        if (options.remoteEnds === 'cut') return void response.end(line(1) + line(2).slice(0, 20))
        if (options.remoteEnds === 'badly')
          return void response.end(
            `${line(1)}${JSON.stringify({ ok: false, result: { error: 'MsdError', error_msg: 'no space' } })}\r\n`,
          )
        if (options.fetches) {
          const fetched = await fetch(get('url')).catch(() => undefined)
          if (fetched?.ok !== true)
            return void response.end(
              `${JSON.stringify({ ok: false, result: { error: 'ClientError', error_msg: `404, ${get('url')}` } })}\r\n`,
            )
          images.set(get('image'), (await fetched.arrayBuffer()).byteLength)
          return void response.end(line(1) + line(2))
        }
        images.set(get('image'), 2)
        return void response.end(line(1) + line(2))
      }
      case 'POST /api/msd/set_params':
        if (drive.connected) return void error(400, 'MsdConnectedError')
        if (!images.has(get('image'))) return void error(400, 'MsdUnknownImageError')
        if (!options.keepsDrive)
          Object.assign(drive, { image: get('image'), cdrom: get('cdrom') === '1', rw: get('rw') === '1' })
        return void reply(200, true, {})
      case 'POST /api/msd/set_connected':
        if (get('connected') === '1' && drive.image === undefined) return void error(400, 'MsdImageNotSelected')
        if (!options.keepsDrive) drive.connected = get('connected') === '1'
        return void reply(200, true, {})
      case 'POST /api/msd/remove':
        if (!images.delete(get('image'))) return void error(400, 'MsdUnknownImageError')
        return void reply(200, true, {})
      default:
        return void error(404, 'NotFoundError')
    }
  }

  const handler = (request: IncomingMessage, response: ServerResponse) => void answer(request, response)
  const server = options.tls ? createTlsServer(options.tls, handler) : createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return Object.assign(state, {
    port: typeof address === 'object' && address ? address.port : 0,
    async [Symbol.asyncDispose]() {
      for (const timer of timers) clearTimeout(timer)
      server.closeAllConnections()
      await new Promise<void>((resolve) => void server.close(() => resolve()))
    },
  })
}
