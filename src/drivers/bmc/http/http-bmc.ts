/**
 * The HTTP power API of virtual machines and test benches: POST /poweron, /poweroff, /reboot, /pxeboot and GET /status, which answers
 * `{"PoweredOn": true|false}`. A base URL with a path is kept: `http://rack/m7/` asks `/m7/status`.
 */
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { BmcPort, BootOverride, PowerState } from '../../../services/power/power-port.ts'
import { POWER_PATIENCE, setPower, shownState, type PowerPatience, type PowerWire } from '../set-power.ts'
import type { Trust } from '../trust.ts'
import { Turns } from '../turns.ts'
import { NoAnswer, openWeb, type WebObserver, type WebPlay } from '../web.ts'

export interface HttpBmcOptions {
  /** `http://` or `https://`, without user and password. */
  readonly url: string
  /** Default: authorities that this system knows. */
  readonly trust?: Trust | undefined
  readonly log: Log
  /** How long a request may take, milliseconds; default 5 s. */
  readonly timeoutMs?: number
  readonly patience?: Partial<PowerPatience>
  /** How many operations may wait for this BMC; default 16. */
  readonly maxWaiting?: number
  readonly observe?: WebObserver | undefined
  readonly play?: WebPlay | undefined
}

const TIMEOUT_MS = 5000
const PATHS = { on: 'poweron', off: 'poweroff' } as const

/**
 * A power API at a URL. It cannot shut an operating system down; its boot override is PXE, once, and cannot be read back.
 * Redirects are not followed.
 */
export function createHttpBmc({ url, log, timeoutMs = TIMEOUT_MS, ...options }: HttpBmcOptions): BmcPort {
  const base = new URL(url.endsWith('/') ? url : `${url}/`)
  const address = base.href
  const { trust, observe, play } = options
  const peer = `power API "${address}"`
  const web = openWeb({ origin: base.origin, peer, timeoutMs, trust, observe, play, plainScheme: 'http://' })
  const patience = { ...POWER_PATIENCE, ...options.patience }
  const turns = new Turns(address, options.maxWaiting ?? 16)

  /** @throws {NoAnswer} when it may have arrived */
  async function ask(method: 'GET' | 'POST', path: string, signal?: AbortSignal): Promise<string> {
    const answer = await web.ask({ method, path: new URL(path, base).pathname, isSafe: method === 'GET' }, signal)
    log.debug('power API asked', { bmc: address, method, path, status: answer.status })
    if (answer.status === 200) return new TextDecoder().decode(answer.bytes)
    throw new AppError(
      answer.status === 401 || answer.status === 403 ? 'unauthorized' : 'bad_peer',
      `Cannot ask power API "${address}": ${method} /${path} was answered ${answer.status}, not 200`,
    )
  }

  const wire: PowerWire = {
    address,
    read: async (signal) => parseStatus(await ask('GET', 'status', signal), address),
    async write(action, signal) {
      if (action === 'soft-off') throw cannot(address, 'shut down an operating system')
      try {
        await ask('POST', PATHS[action], signal)
        return 'taken'
      } catch (error) {
        if (error instanceof NoAnswer) return 'lost'
        throw error
      }
    },
  }
  return {
    can: new Set(['power', 'boot-override', 'cycle']),
    address,
    status: (signal) => turns.take(async () => shownState(await wire.read(signal)), signal),
    set: (action, signal) =>
      turns.take(() => {
        if (action === 'soft-off') throw cannot(address, 'shut down an operating system')
        return setPower(wire, action, patience, signal)
      }, signal),
    setBoot: (override, signal) => turns.take(() => setBoot(override, signal), signal),
    [Symbol.asyncDispose]: () => turns.close(() => web[Symbol.asyncDispose]()),
  }

  async function setBoot(override: BootOverride, signal?: AbortSignal): Promise<void> {
    // The API has one override, PXE for the next boot; what boots otherwise is the disk, and nothing takes the override back.
    if (override.device === 'none' || (override.device === 'disk' && override.once)) return
    if (override.device !== 'pxe')
      throw cannot(address, `boot from "${override.device}"${override.once ? '' : ' for all boots'}`)
    if (!override.once) throw cannot(address, 'boot from the network for all boots')
    await ask('POST', 'pxeboot', signal)
  }
}

function parseStatus(text: string, address: string): PowerState {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new AppError('bad_peer', `Cannot read the status of power API "${address}": it is not JSON`, { cause })
  }
  if (typeof value !== 'object' || value === null || !('PoweredOn' in value) || typeof value.PoweredOn !== 'boolean')
    throw new AppError(
      'bad_peer',
      `Cannot read the status of power API "${address}": it has no PoweredOn that is true or false`,
    )
  return value.PoweredOn ? 'on' : 'off'
}

function cannot(address: string, what: string): AppError {
  return new AppError('unsupported', `Cannot ${what} by power API "${address}": the API has no such request`)
}
