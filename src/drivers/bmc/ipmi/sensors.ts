/** Readings of all the sensors that the BMC itself has; those of other controllers behind it are not asked. */
import type { BmcSensor, SensorStatus } from '../../../model/bmc.ts'
import { COMMANDS } from '../../../wire/ipmi/commands.ts'
import { BMC_ADDRESS } from '../../../wire/ipmi/message.ts'
import { THRESHOLD_TYPE, THRESHOLDS, type Sdr } from '../../../wire/ipmi/sdr.ts'
import type { RawReading } from '../../../wire/ipmi/sensor-commands.ts'
import { sensorTypeName, stateNames } from '../../../wire/ipmi/sensor-names.ts'
import { NON_LINEAR, readingValue, type AnalogFormat, type Factors } from '../../../wire/ipmi/sensor-reading.ts'
import type { Ask } from './records.ts'
import { CompletionError } from './session.ts'

/** The standard gives discrete states no severity: by their words, these are not as they should be. */
const ALARMING =
  /lost|fail|fault|error|critical|uncorrectable|non-recoverable|intrusion|violation|degraded|overtemperature|thermal|ierr|out of range|insufficient|timeout|hang|expired|nmi$|[ps]err$|limit exceeded|low$/i

type ReadableSensor = Extract<Sdr, { kind: 'full' | 'compact' }>

/** A sensor that the BMC declines to read (of a machine that is off, of a part that is not there) is `unavailable`. */
export async function readSensors(ask: Ask, records: readonly Sdr[], signal?: AbortSignal): Promise<BmcSensor[]> {
  const sensors: BmcSensor[] = []
  for (const sdr of records)
    if ((sdr.kind === 'full' || sdr.kind === 'compact') && sdr.owner === BMC_ADDRESS && sdr.lun === 0)
      sensors.push(await readSensor(ask, sdr, signal))
  return sensors
}

async function readSensor(ask: Ask, sdr: ReadableSensor, signal?: AbortSignal): Promise<BmcSensor> {
  const sensor = { name: sdr.name, type: sensorTypeName(sdr.sensorType), states: [], thresholds: {} }
  const reading = await orDeclined(ask(COMMANDS.getSensorReading, sdr.number, signal))
  if (!reading?.isAvailable || !reading.isScanning) return { ...sensor, status: 'unavailable' }
  if (sdr.kind === 'compact' || !sdr.analog) {
    const states = stateNames(sdr.sensorType, sdr.readingType, reading.states)
    return { ...sensor, status: states.some((state) => ALARMING.test(state)) ? 'warning' : 'ok', states }
  }
  const factors = await factorsOf(ask, sdr.number, reading.raw, sdr.analog, signal)
  const value = factors && readingValue(reading.raw, sdr.analog, factors)
  const states = stateNames(sdr.sensorType, sdr.readingType, reading.states)
  return {
    ...sensor,
    ...(value === undefined ? {} : { value }),
    ...(sdr.unit === 'unspecified' ? {} : { unit: sdr.unit }),
    status: sdr.readingType === THRESHOLD_TYPE ? statusOf(reading) : 'ok',
    states,
    thresholds: thresholdsOf(sdr, sdr.analog),
  }
}

/** The worst threshold that is crossed, as the BMC sees it. */
function statusOf({ states }: RawReading): SensorStatus {
  const isCrossed = (name: string) => THRESHOLDS.some((t, bit) => t.endsWith(name) && ((states >> bit) & 1) !== 0)
  if (isCrossed('NonRecoverable')) return 'non-recoverable'
  if (isCrossed('rCritical')) return 'critical'
  return isCrossed('NonCritical') ? 'warning' : 'ok'
}

function thresholdsOf(sdr: Extract<Sdr, { kind: 'full' }>, analog: AnalogFormat): BmcSensor['thresholds'] {
  // The factors of a non-linear sensor belong to one reading, not to its thresholds.
  if (analog.linearization >= NON_LINEAR) return {}
  const values = Object.entries(sdr.thresholds).map(([name, raw]) => [name, readingValue(raw, analog)] as const)
  return Object.fromEntries(values.filter(([, value]) => value !== undefined))
}

async function factorsOf(
  ask: Ask,
  sensor: number,
  raw: number,
  { linearization, factors }: AnalogFormat,
  signal?: AbortSignal,
): Promise<Factors | undefined> {
  if (linearization < NON_LINEAR) return factors
  return orDeclined(ask(COMMANDS.getSensorFactors, { sensor, raw }, signal))
}

/** Undefined where the BMC declines. */
export async function orDeclined<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof CompletionError) return undefined
    throw error
  }
}
