/** Power and boot source of one BMC, as its make does them. */
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { BootOverride, PowerState } from '../../../services/power/power-port.ts'
import { COMMANDS, type ChassisAction } from '../../../wire/ipmi/commands.ts'
import { COMPLETION } from '../../../wire/ipmi/completion.ts'
import type { PowerWire } from '../set-power.ts'
import { renewBootOverride, setBootOverride } from './boot-override.ts'
import type { Commander } from './commander.ts'
import { Silence } from './exchange.ts'
import { behaviourOf, USUAL, type Behaviour, type PowerStep } from './quirks.ts'
import { CompletionError } from './session.ts'

/** Codes that say "I have no such command", or "not that one" (table 5-2). */
const NOT_OFFERED: ReadonlySet<number> = new Set([
  COMPLETION.unknownCommand,
  COMPLETION.parameterRange,
  COMPLETION.invalidField,
  COMPLETION.subFunctionOff,
])
/**
 * Codes of a BMC that cannot say the state at this moment: it starts, or power is changing. FFh is what OpenBMC says meanwhile
 * (openbmc/openbmc issues 1810 and 2246).
 */
const CANNOT_SAY: ReadonlySet<number> = new Set([
  COMPLETION.busy,
  COMPLETION.timeout,
  COMPLETION.cannotAnswerNow,
  COMPLETION.initializing,
  COMPLETION.notInThisState,
  COMPLETION.unspecified,
])

export interface IpmiPower extends PowerWire {
  read(signal?: AbortSignal): Promise<PowerState>
  /** @throws {AppError} as setBootOverride */
  setBoot(override: BootOverride, signal?: AbortSignal): Promise<void>
}

export interface IpmiPowerDeps {
  readonly bmc: Pick<Commander, 'request'>
  /** For messages. */
  readonly address: string
  readonly log: Log
  /** As IpmiBmcOptions has it. */
  readonly hurry?: number | undefined
}

/** Not safe for two callers at once: its owner takes turns. */
export function createIpmiPower({ bmc, address, log, hurry = 1 }: IpmiPowerDeps): IpmiPower {
  let known: Behaviour | undefined
  /** What was set since the machine was switched on last: a BMC may drop it before it is again. */
  let override: BootOverride | undefined

  async function behaviour(signal?: AbortSignal): Promise<Behaviour> {
    if (known) return known
    try {
      const { behaviour, names } = behaviourOf(await bmc.request(COMMANDS.getDeviceId, undefined, signal))
      if (names.length > 0) log.info('BMC has known quirks', { address, quirks: names.join(' ') })
      return (known = behaviour)
    } catch (error) {
      if (!(error instanceof CompletionError)) throw error
      return USUAL
    }
  }

  const refused = (action: ChassisAction, cause: CompletionError) =>
    new AppError('unsupported', `Cannot do "${action}" on BMC "${address}": it has no such command`, { cause })

  return {
    address,
    setBoot: async (wanted, signal) => {
      override = undefined
      await setBootOverride({ bmc, behaviour: await behaviour(signal), address, log }, wanted, signal)
      override = wanted
    },
    async read(signal) {
      try {
        const status = await bmc.request(COMMANDS.getChassisStatus, undefined, signal)
        return status.isOn ? 'on' : 'off'
      } catch (cause) {
        if (!(cause instanceof CompletionError) || !CANNOT_SAY.has(cause.completion)) throw cause
        throw new AppError('conflict', `Cannot read the power state of BMC "${address}": it cannot say now`, { cause })
      }
    },
    ways: (action, inCycle) => (known ?? USUAL).ways[inCycle ? 'cycle' : action].length,
    holdMs: () => (known ?? USUAL).holdMs / hurry,
    async write(action, signal, way) {
      const does = await behaviour(signal)
      if (action === 'on' && override) await renewBootOverride({ bmc, behaviour: does, address, log }, override, signal)
      const step: PowerStep = way < does.ways[action].length ? action : 'cycle'
      const command = does.ways[step][way]!
      try {
        await bmc.request(COMMANDS.chassisControl, command, signal)
        if (action === 'on') override = undefined
        return 'taken'
      } catch (error) {
        if (error instanceof Silence) return 'lost'
        if (!(error instanceof CompletionError)) throw error
        // It may be there already, or in POST. What is true is read next.
        if (error.completion === COMPLETION.notInThisState)
          return { declined: new AppError('conflict', error.message, { cause: error }) }
        throw NOT_OFFERED.has(error.completion) ? refused(command, error) : error
      }
    },
  }
}
