/** Intel AMT by WS-Management, as the power port. */
import { AppError, WireError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { BmcPort, PowerState } from '../../../services/power/power-port.ts'
import { AMT_RESOURCES, parseAmtPower, POWER_STATES, type AmtPower } from '../../../wire/wsman/amt.ts'
import { POWER_PATIENCE, setPower, shownState, type PowerPatience, type PowerWire } from '../set-power.ts'
import type { Trust } from '../trust.ts'
import { Turns } from '../turns.ts'
import { hostPort, parseUserAtHost, splitTrust, type UserAtHost } from '../user-at-host.ts'
import { NoAnswer, type WebObserver, type WebPlay } from '../web.ts'
import { setAmtBoot } from './boot-override.ts'
import { checkAmt } from './security-check.ts'
import { createWsmanClient, type WsmanClient } from './wsman-client.ts'

export interface AmtUrl extends UserAtHost {
  readonly kind: 'amt'
  readonly isTls: boolean
  readonly trust?: Trust
}

export interface AmtBmcOptions {
  readonly host: string
  /** Default 16992, with TLS 16993. */
  readonly port?: number
  readonly isTls?: boolean
  /** Default: authorities that this system knows. */
  readonly trust?: Trust | undefined
  readonly user: string
  readonly password: string
  readonly log: Log
  /** How long a request may take, milliseconds; default 10 s. */
  readonly timeoutMs?: number
  readonly busyMs?: number
  readonly patience?: Partial<PowerPatience>
  /** How many operations may wait for this BMC; default 16. */
  readonly maxWaiting?: number
  readonly observe?: WebObserver | undefined
  readonly play?: WebPlay | undefined
}

/** "amt-soap-http" and "amt-soap-https" of IANA's registry. */
const PORT = 16_992
const TLS_PORT = 16_993

export const AMT_FORM = 'amt://USER@HOST[:PORT] or amts://USER@HOST[:PORT][?fingerprint=SHA256]'

/**
 * Reads `amt://USER@HOST[:PORT]` and, with TLS, `amts://USER@HOST[:PORT][?fingerprint=SHA256]`.
 * @throws {AppError} `invalid`
 */
export function parseAmtUrl(text: string): AmtUrl {
  const isTls = /^amts:/i.test(text)
  const { rest, trust } = isTls ? splitTrust(text) : { rest: text }
  const parsed = parseUserAtHost(rest, AMT_FORM, isTls ? TLS_PORT : PORT)
  return { kind: 'amt', isTls, ...parsed, ...(trust ? { trust } : {}) }
}

/**
 * AMT at an address. Nothing is sent before the first operation.
 * @throws {AppError} `invalid` for a user that digest authentication cannot carry, or an empty password
 */
export function createAmtBmc({ host, isTls = false, user, password, ...options }: AmtBmcOptions): BmcPort {
  const address = hostPort(host, options.port ?? (isTls ? TLS_PORT : PORT))
  const log = options.log.with({ bmc: address })
  if (/[^ -~]|[:"\\]/.test(user))
    throw new AppError('invalid', `Cannot use user "${user}" on AMT "${address}": printable ASCII without : " and \\`)
  if (password === '')
    throw new AppError('invalid', `Cannot use AMT "${address}" without a password: firmware let anyone in with none`)
  const patience = { ...POWER_PATIENCE, ...options.patience }
  const turns = new Turns(address, options.maxWaiting ?? 16)
  const client = createWsmanClient({
    origin: `${isTls ? 'https' : 'http'}://${address}`,
    address,
    user,
    password,
    log,
    trust: options.trust,
    observe: options.observe,
    play: options.play,
    timeoutMs: options.timeoutMs ?? 10_000,
    busyMs: options.busyMs ?? 250,
  })
  const wire = powerWire(client, address)
  const inTurn = <T>(work: () => Promise<T>, signal?: AbortSignal) => turns.take(() => explained(address, work), signal)
  return {
    can: new Set(['power', 'boot-override', 'soft-off', 'cycle', 'check']),
    address,
    status: (signal) => inTurn(async () => shownState(await wire.read(signal)), signal),
    set: (action, signal) => inTurn(() => setPower(wire, action, patience, signal), signal),
    setBoot: (override, signal) => inTurn(() => setAmtBoot(client, override, address, signal), signal),
    check: (signal) => inTurn(() => checkAmt(client, isTls, signal), signal),
    [Symbol.asyncDispose]: () => turns.close(() => client[Symbol.asyncDispose]()),
  }
}

const ACTIONS = {
  on: POWER_STATES.on,
  off: POWER_STATES.offSoft,
  'soft-off': POWER_STATES.offSoftGraceful,
} as const

function powerWire(client: WsmanClient, address: string): PowerWire {
  const power = async (signal?: AbortSignal): Promise<AmtPower> =>
    parseAmtPower(await client.get(AMT_RESOURCES.power, signal))
  return {
    address,
    read: (signal) => explained(address, async () => stateOf(await power(signal))),
    async write(action, signal) {
      if (action === 'soft-off' && !(await power(signal)).available.has(POWER_STATES.offSoftGraceful))
        throw new AppError(
          'unsupported',
          `Cannot shut down the operating system by AMT "${address}": it offers that only while Intel's LMS runs in it`,
        )
      try {
        await client.invoke(
          AMT_RESOURCES.powerService,
          'RequestPowerStateChange',
          [
            ['PowerState', String(ACTIONS[action])],
            ['ManagedElement', AMT_RESOURCES.system],
          ],
          signal,
        )
        return 'taken'
      } catch (error) {
        if (error instanceof NoAnswer || error instanceof WireError) return 'lost'
        throw error
      }
    },
  }
}

/** A machine that sleeps is not off: switched on, it would go on where it was. One that hibernates is. */
function stateOf({ state }: AmtPower): PowerState {
  const { on, sleepLight, sleepDeep, hibernate, offHard, offSoft } = POWER_STATES
  if (state === on || state === sleepLight || state === sleepDeep) return 'on'
  return state === hibernate || state === offHard || state === offSoft ? 'off' : 'unknown'
}

/** What cannot be read, in the words of the port. */
async function explained<T>(address: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof WireError) throw new AppError('bad_peer', `Cannot understand AMT "${address}"`, { cause })
    throw cause
  }
}
