/**
 * PiKVM's ATX board, as the power port: it presses the buttons of the front panel and looks at its power LED. kvmd presses for `on` only
 * while the LED is off, for everything else only while it is on, and answers 200 in either case (kvmd/plugins/atx/gpio.py).
 */
import { sleep } from '../../../base/clock.ts'
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { BmcPort, PowerState } from '../../../services/power/power-port.ts'
import { parseAtx } from '../../../wire/pikvm/answers.ts'
import { POWER_PATIENCE, setPower, shownState, type PowerPatience, type PowerWire } from '../set-power.ts'
import type { Trust } from '../trust.ts'
import { Turns } from '../turns.ts'
import { hostPort, parseUserAtHost, splitTrust, type UserAtHost } from '../user-at-host.ts'
import { NoAnswer, type WebObserver, type WebPlay } from '../web.ts'
import { createPikvmMedia } from './media.ts'
import { createMsd, type Msd } from './msd.ts'
import { createPikvmApi, explained, type PikvmApi } from './pikvm-api.ts'

export interface PikvmUrl extends UserAtHost {
  readonly kind: 'pikvm'
  readonly trust?: Trust
}

export interface PikvmBmcOptions {
  readonly host: string
  /** Default 443. */
  readonly port?: number
  readonly user: string
  readonly password: string
  /** Default: authorities that this system knows. */
  readonly trust?: Trust | undefined
  /** False speaks HTTP, which shows the password to everybody on the way: for PiKVMs that are played. */
  readonly isTls?: boolean
  readonly log: Log
  /** How long a request may take, milliseconds; default 15 s: a button is held for 5.5 s. */
  readonly timeoutMs?: number
  /** The pause before a board that is busy is asked again, milliseconds; default 500. */
  readonly busyMs?: number
  readonly patience?: Partial<PowerPatience>
  /** How many operations may wait for this BMC; default 16. */
  readonly maxWaiting?: number
  readonly observe?: WebObserver | undefined
  readonly play?: WebPlay | undefined
}

/** The port that every BMC has, and the drive that this one has beside it. */
export interface PikvmBmc extends BmcPort {
  readonly msd: Msd
}

export const PIKVM_FORM = 'pikvm://USER@HOST[:PORT][?fingerprint=SHA256]'

const PORT = 443
/** With its pause, longer than a button is held. */
const MAX_BUSY = 20
const ACTIONS = { on: 'on', off: 'off_hard', 'soft-off': 'off' } as const

/** Reads `pikvm://USER@HOST[:PORT][?fingerprint=SHA256]`. @throws {AppError} `invalid` */
export function parsePikvmUrl(text: string): PikvmUrl {
  const { rest, trust } = splitTrust(text)
  return { kind: 'pikvm', ...parseUserAtHost(rest, PIKVM_FORM, PORT), ...(trust ? { trust } : {}) }
}

/** A PiKVM at an address. Nothing is sent before the first operation. @throws {AppError} `invalid` for a user or password that a header cannot carry */
export function createPikvmBmc({
  host,
  port = PORT,
  user,
  password,
  isTls = true,
  ...options
}: PikvmBmcOptions): PikvmBmc {
  const address = hostPort(host, port)
  const log = options.log.with({ bmc: address })
  if (/[^ -~]/.test(user) || /[^ -~]/.test(password))
    throw new AppError('invalid', `Cannot log in to PiKVM "${address}": user and password have to be printable ASCII`)
  const patience = { ...POWER_PATIENCE, ...options.patience }
  const turns = new Turns(address, options.maxWaiting ?? 16)
  const api = createPikvmApi({
    origin: `${isTls ? 'https' : 'http'}://${address}`,
    address,
    user,
    password,
    trust: options.trust,
    observe: options.observe,
    play: options.play,
    log,
    timeoutMs: options.timeoutMs ?? 15_000,
  })
  const wire = powerWire(api, options.busyMs ?? 500)
  const msd = createMsd(api)
  const inTurn = <T>(work: () => Promise<T>, signal?: AbortSignal) => turns.take(() => explained(address, work), signal)
  return {
    can: new Set(['power', 'soft-off', 'cycle', 'media']),
    address,
    msd,
    media: createPikvmMedia(msd, address, log),
    status: (signal) => inTurn(async () => shownState(await wire.read(signal)), signal),
    set: (action, signal) => inTurn(() => setPower(wire, action, patience, signal), signal),
    setBoot: (_override, signal) =>
      inTurn(() => {
        throw new AppError(
          'unsupported',
          `Cannot choose what the machine of PiKVM "${address}" boots from: set network boot first in its firmware`,
        )
      }, signal),
    [Symbol.asyncDispose]: () => turns.close(() => api[Symbol.asyncDispose]()),
  }
}

function powerWire(api: PikvmApi, busyMs: number): PowerWire {
  const { address } = api
  return {
    address,
    read: (signal) =>
      explained(address, async (): Promise<PowerState> => {
        const atx = parseAtx(await api.ask('GET', '/api/atx', {}, { signal }))
        if (!atx.isEnabled)
          throw new AppError(
            'unsupported',
            `Cannot see the power of PiKVM "${address}": its ATX board is disabled or not there`,
          )
        return atx.isPowerLedOn ? 'on' : 'off'
      }),
    async write(action, signal) {
      for (let tries = 0; ; tries++)
        try {
          // Answered when the button was let go.
          await api.ask('POST', '/api/atx/power', { action: ACTIONS[action], wait: true }, { signal })
          return 'taken'
        } catch (error) {
          if (error instanceof NoAnswer) return 'lost'
          const isBusy = error instanceof AppError && error.code === 'conflict'
          if (!isBusy || tries >= MAX_BUSY) throw error
          await sleep(busyMs, signal)
        }
    },
  }
}
