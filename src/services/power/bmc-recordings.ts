/** What passes between us and a BMC, for whoever has to find out why it lies: recorded without secrets, and played again without a BMC. */
import type { Now } from '../../base/clock.ts'
import { AppError, explain, WireError } from '../../base/errors.ts'
import { createMask, maskExchange } from '../../formats/bmc-recording/mask.ts'
import {
  describeExchange,
  MAX_RECORDING_BYTES,
  parseRecording,
  serializeRecording,
  type Exchanged,
  type Outcome,
  type Recording,
} from '../../formats/bmc-recording/recording.ts'
import type { BmcReplay, Recordable } from '../../model/bmc.ts'
import type { StoredMachine } from '../machines/ports.ts'
import type { BmcHardware, BmcPort, BmcTap, PowerAction, PowerState } from './power-port.ts'
import type { PowerService } from './power.ts'

export interface BmcRecordingsDeps {
  readonly power: Pick<PowerService, 'tapped' | 'status' | 'set' | 'hardware'>
  readonly passwordOf: (machineId: string) => Promise<string | undefined>
  /** @throws {AppError} unsupported for a recording that cannot be played */
  readonly openReplay: (recording: Recording, tap: BmcTap) => BmcPort
  readonly now: Now
  readonly release: string
}

export type BmcRecordingsService = ReturnType<typeof createBmcRecordings>

/** What an operation needs: of the power service where it is done, of a driver alone where it is played. */
interface Operable {
  status(signal: AbortSignal): Promise<PowerState>
  set(action: PowerAction, signal: AbortSignal): Promise<void>
  hardware(): Promise<BmcHardware>
}

const OPERATE: Readonly<Record<Recordable, (bmc: Operable, signal: AbortSignal) => Promise<unknown>>> = {
  status: (bmc, signal) => bmc.status(signal),
  on: (bmc, signal) => bmc.set('on', signal),
  off: (bmc, signal) => bmc.set('off', signal),
  cycle: (bmc, signal) => bmc.set('cycle', signal),
  'soft-off': (bmc, signal) => bmc.set('soft-off', signal),
  info: async (bmc, signal) => (await bmc.hardware()).info(signal),
  sensors: async (bmc, signal) => (await bmc.hardware()).sensors(signal),
  fru: async (bmc, signal) => (await bmc.hardware()).fru(signal),
  sel: async (bmc, signal) => (await bmc.hardware()).sel(signal),
}

/** Left for the line of what came of it. */
const OUTCOME_BYTES = 64 * 1024

export function createBmcRecordings({ power, passwordOf, openReplay, now, release }: BmcRecordingsDeps) {
  return {
    /**
     * Does an operation and yields what passed meanwhile, as JSON lines. What goes wrong with it is in the recording, not thrown. The
     * password is nowhere in it, the BMC's address and user only where `named`.
     * @throws {AppError} `invalid` when the machine has no BMC, `conflict` when it is being recorded already
     */
    async record(
      machine: StoredMachine,
      operation: Recordable,
      { named, signal }: { named: boolean; signal: AbortSignal },
    ): Promise<string> {
      const { user, host, protocol } = partsOf(machine.bmc)
      const password = await passwordOf(machine.id)
      const mask = createMask([password ?? '', ...(named ? [] : [user, host])])
      const startedAt = now()
      const exchanges: Exchanged[] = []
      let left = MAX_RECORDING_BYTES - OUTCOME_BYTES
      const tap: BmcTap = (exchange) => {
        const step = maskExchange({ ...exchange, ms: now() - startedAt }, mask)
        left -= Buffer.byteLength(JSON.stringify(step)) + 1
        if (left >= 0) exchanges.push(step)
      }
      const operable: Operable = {
        status: (by) => power.status(machine, by),
        set: (action, by) => power.set(machine, action, { signal: by }),
        hardware: () => power.hardware(machine),
      }
      const came = await power.tapped(machine, tap, () => outcomeOf(operation, operable, signal))
      const outcome = masked({ ...came, ms: now() - startedAt, ...(left < 0 ? { isCut: true } : {}) }, mask)
      return serializeRecording({ header: { protocol, operation, at: startedAt, release }, exchanges, outcome })
    },

    /**
     * Lets the driver do the operation of a recording again, with the recording in the BMC's place. Nothing is sent to anybody.
     * @throws {AppError} `invalid` for what is no recording, `unsupported` for one that cannot be played
     */
    async replay(document: string, signal: AbortSignal): Promise<BmcReplay> {
      const recording = parse(document)
      const steps: string[] = []
      await using bmc = openReplay(recording, (exchange) => void steps.push(describeExchange(exchange)))
      const operable: Operable = {
        status: (by) => bmc.status(by),
        set: (action, by) => bmc.set(action, by),
        hardware: async () => bmc.hardware ?? raise('unsupported', 'Cannot replay this: its driver has no such thing'),
      }
      const { protocol, at, release: by } = recording.header
      const operation = recordable(recording.header.operation)
      const came = await outcomeOf(operation, operable, signal)
      return {
        operation,
        protocol,
        at,
        release: by,
        steps,
        then: told(recording.outcome),
        now: told({ ...came, ms: 0 }),
      }
    },
  }
}

async function outcomeOf(operation: Recordable, bmc: Operable, signal: AbortSignal): Promise<Omit<Outcome, 'ms'>> {
  try {
    const value = await OPERATE[operation](bmc, signal)
    return { is: 'outcome', ...(value === undefined ? {} : { value }) }
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof AppError)) throw error
    return { is: 'outcome', error: { code: error.code, message: explain(error) } }
  }
}

function told({ value, error, isCut }: Outcome): BmcReplay['then'] {
  return { ...(error ? { error } : { value: value ?? null }), ...(isCut ? { isCut } : {}) }
}

/** What there may be of a secret in what an operation yielded: its strings. */
function masked(outcome: Outcome, mask: (text: string) => string): Outcome {
  const inside = (value: unknown): unknown => {
    if (typeof value === 'string') return mask(value)
    if (Array.isArray(value)) return value.map(inside)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, inside(each)]))
  }
  return {
    ...outcome,
    ...(outcome.value === undefined ? {} : { value: inside(outcome.value) }),
    ...(outcome.error ? { error: { ...outcome.error, message: mask(outcome.error.message) } } : {}),
  }
}

/** Of a BMC's URL, which has been checked when it was set. */
function partsOf(url: string | undefined): { protocol: string; user: string; host: string } {
  const [, protocol = '', user = '', host = ''] =
    /^([a-z+]+):(?:\/\/(?:([^@/]*)@)?(\[[^\]]*\]|[^:/?]*))?/.exec(url ?? '') ?? []
  return { protocol, user: decodeURIComponent(user), host }
}

function parse(document: string): Recording {
  try {
    return parseRecording(document)
  } catch (cause) {
    if (!(cause instanceof WireError)) throw cause
    throw new AppError('invalid', 'Cannot replay this: it is no recording of a BMC', { cause })
  }
}

function recordable(operation: string): Recordable {
  if (Object.hasOwn(OPERATE, operation)) return operation as Recordable
  throw new AppError('invalid', `Cannot replay this: "${operation}" is no operation that can be recorded`)
}

function raise(code: 'unsupported', message: string): never {
  throw new AppError(code, message)
}
