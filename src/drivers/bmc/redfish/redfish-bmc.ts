/** A BMC that speaks Redfish (DSP0266), as the power port. */
import { AppError } from '../../../base/errors.ts'
import type { BmcPort } from '../../../services/power/power-port.ts'
import {
  POWER_PATIENCE,
  type PowerPatience,
  type PowerWire,
  type PowerWritten,
  setPower,
  shownState,
} from '../set-power.ts'
import { Turns } from '../turns.ts'
import { setRedfishBoot } from './boot.ts'
import { type ConsoleWish, openRedfishConsole } from './console.ts'
import { createRedfishClient, type RedfishClientOptions } from './client.ts'
import { isForLater, mayBeDone } from './later.ts'
import { createRedfishMedia } from './media.ts'
import { findSystem, readSystem, type SystemPlace } from './system.ts'
import { followTask } from './task.ts'

export interface RedfishBmcOptions extends RedfishClientOptions, ConsoleWish {
  /** Last part of the path of its ComputerSystem; needed where the BMC has several. */
  readonly system?: string | undefined
  readonly patience?: Partial<PowerPatience>
  /** How long a boot override may take to be taken and to show, milliseconds; default 30 s. */
  readonly bootDeadlineMs?: number
  /** How long a medium may take to be taken and to show, milliseconds; default 30 s. */
  readonly mediaDeadlineMs?: number
  /** How many operations may wait for this BMC; default 16. */
  readonly maxWaiting?: number
  /** A console of which nothing is heard for two of these is gone, milliseconds; default 15 s. */
  readonly consoleKeepAliveMs?: number
}

const BOOT_DEADLINE_MS = 30_000
const CONSOLE_TIMEOUT_MS = 20_000
const MEDIA_DEADLINE_MS = 30_000

/**
 * A machine behind a Redfish service. Nothing is sent before the first operation; dispose it to close its session.
 * @throws {AppError} `invalid` for a user or password that cannot be used
 */
export function createRedfishBmc({ maxWaiting = 16, ...options }: RedfishBmcOptions): BmcPort {
  const client = createRedfishClient(options)
  const { address } = client
  const log = options.log.with({ bmc: address })
  const patience = { ...POWER_PATIENCE, ...options.patience }
  const turns = new Turns(address, maxWaiting)
  let known: SystemPlace | undefined

  async function place(signal?: AbortSignal): Promise<SystemPlace> {
    known ??= await findSystem(client, options.system, log, signal)
    return known
  }

  /** Types to try for an action, of those that the BMC offers; all of them where it does not say. */
  function types(action: 'on' | 'off' | 'soft-off'): readonly string[] {
    const wanted = known?.behaviour.resetTypes[action] ?? []
    const offered = known?.resetTypes
    return offered === undefined ? wanted : wanted.filter((type) => offered.includes(type))
  }

  const wire: PowerWire = {
    address,
    async read(signal) {
      const { path } = await place(signal)
      try {
        return (await readSystem(client, path, signal)).power
      } catch (error) {
        // A system that is gone may have another path when it is back.
        if (error instanceof AppError && error.code === 'not_found') known = undefined
        throw error
      }
    },
    async write(action, signal, way) {
      const { resetPath, resetTypes } = await place(signal)
      const type = types(action)[way]
      if (resetPath === undefined || type === undefined) throw cannot(address, action, resetTypes)
      try {
        const answer = await client.post(resetPath, { ResetType: type }, signal)
        await followTask(client, answer, { pollMs: patience.pollMs, deadlineMs: patience.nextWayMs, signal })
        return 'taken'
      } catch (error) {
        return outcome(error)
      }
    },
    ways: (action) => Math.max(1, types(action).length),
  }

  const openConsole: NonNullable<BmcPort['console']> = async (opening = {}) => {
    const { origin, user, password, timeoutMs = CONSOLE_TIMEOUT_MS, trust = { kind: 'authorities' } } = options
    const { path } = await place(opening.signal)
    const credentials = { user, password }
    const how = { client, origin, credentials, trust, auth: options.auth ?? 'auto', log, timeoutMs } as const
    const { consoleKeepAliveMs: keepAliveMs, observe } = options
    return openRedfishConsole({ ...options, ...how, keepAliveMs, observe }, path, opening)
  }
  const hasConsole = options.console !== 'none'

  return {
    can: new Set([
      'power',
      'boot-override',
      'soft-off',
      'cycle',
      'media',
      ...(hasConsole ? (['console'] as const) : []),
    ]),
    address,
    ...(hasConsole ? { console: openConsole } : {}),
    media: createRedfishMedia({
      client,
      place,
      log,
      inTurn: (work, signal) => turns.take(work, signal),
      patience: { ...patience, deadlineMs: options.mediaDeadlineMs ?? MEDIA_DEADLINE_MS },
    }),
    status: (signal) => turns.take(async () => shownState(await wire.read(signal)), signal),
    set: (action, signal) => turns.take(() => setPower(wire, action, patience, signal), signal),
    setBoot: (override, signal) =>
      turns.take(async () => {
        const deadlineMs = options.bootDeadlineMs ?? BOOT_DEADLINE_MS
        await setRedfishBoot(client, await place(signal), override, { ...patience, deadlineMs }, log, signal)
      }, signal),
    [Symbol.asyncDispose]: () => turns.close(async () => await client[Symbol.asyncDispose]()),
  }
}

/** What became of a Reset that was not answered well. */
function outcome(error: unknown): PowerWritten {
  if (isForLater(error)) return { declined: error }
  if (mayBeDone(error)) return 'lost'
  throw error
}

function cannot(address: string, action: string, offered: readonly string[] | undefined): AppError {
  const list = (offered ?? []).join(', ').replaceAll(/[^\x20-\x7e]/g, '?')
  return new AppError(
    'unsupported',
    `Cannot do "${action}" by BMC "${address}": ${offered === undefined ? 'its system has no Reset' : `it offers ${list}`}`,
  )
}
