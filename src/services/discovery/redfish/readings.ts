/** Power, temperatures and fans of the chassis of one system, from the first of three generations of resources that has any. */
import { child, linkOf, numberOf, objectsOf, type Resource, textOf } from '../../../formats/redfish/resource.ts'
import type { Walk } from '../../../formats/redfish/walk.ts'
import type { InventoryReading } from '../../../model/inventory.ts'

type Kind = InventoryReading['kind']
type Unit = InventoryReading['unit']

const UNITS: Readonly<Record<string, Unit>> = {
  watts: 'W',
  w: 'W',
  cel: 'Cel',
  rpm: 'RPM',
  '{rev}/min': 'RPM',
  percent: '%',
  '%': '%',
  v: 'V',
  volts: 'V',
  a: 'A',
  amps: 'A',
  j: 'J',
}
/** ReadingType of a Sensor (DSP2046), with the unit that it has where the BMC leaves that out. */
const TYPES: Readonly<Record<string, readonly [Kind, Unit]>> = {
  Power: ['power', 'W'],
  Temperature: ['temperature', 'Cel'],
  Rotational: ['fan', 'RPM'],
  Voltage: ['voltage', 'V'],
  Percent: ['other', '%'],
  Current: ['other', 'A'],
}

/**
 * Power and Thermal (before 2020.4), else the metrics of EnvironmentMetrics and ThermalSubsystem, else Sensors, which cost one request
 * each.
 */
export async function readReadings(walk: Walk, chassis: readonly Resource[]): Promise<InventoryReading[]> {
  const readings: InventoryReading[] = []
  for (const one of chassis) {
    let found = [...(await readPower(walk, one)), ...(await readThermal(walk, one))]
    if (found.length === 0) found = await readMetrics(walk, one)
    if (found.length === 0) found = (await walk.members(linkOf(one, 'Sensors'))).flatMap(sensorOf)
    readings.push(...found)
  }
  return readings
}

async function readPower(walk: Walk, chassis: Resource): Promise<InventoryReading[]> {
  const power = await walk.read(linkOf(chassis, 'Power'))
  return [
    ...objectsOf(power, 'PowerControl').flatMap((one) =>
      reading(one, 'power', 'W', 'PowerConsumedWatts', 'power consumed'),
    ),
    ...objectsOf(power, 'Voltages').flatMap((one) => reading(one, 'voltage', 'V', 'ReadingVolts', 'voltage')),
  ]
}

async function readThermal(walk: Walk, chassis: Resource): Promise<InventoryReading[]> {
  const thermal = await walk.read(linkOf(chassis, 'Thermal'))
  return [
    ...objectsOf(thermal, 'Temperatures').flatMap((one) =>
      reading(one, 'temperature', 'Cel', 'ReadingCelsius', 'temperature'),
    ),
    ...objectsOf(thermal, 'Fans').flatMap((one) => {
      const unit = unitOf(one) ?? 'RPM'
      // Before Thermal 1.1 a fan's name and reading had other keys.
      const key = numberOf(one, 'Reading') === undefined && 'CurrentReading' in one ? 'CurrentReading' : 'Reading'
      return reading(one, 'fan', unit, key, textOf(one, 'FanName') ?? 'fan')
    }),
  ]
}

async function readMetrics(walk: Walk, chassis: Resource): Promise<InventoryReading[]> {
  const environment = await walk.read(linkOf(chassis, 'EnvironmentMetrics'))
  const subsystem = await walk.read(linkOf(chassis, 'ThermalSubsystem'))
  const thermal = await walk.read(linkOf(subsystem, 'ThermalMetrics'))
  const temperatures = objectsOf(thermal, 'TemperatureReadingsCelsius')
  return [
    ...objectsOf(environment, 'PowerWatts').flatMap((one) => reading(one, 'power', 'W', 'Reading', 'power consumed')),
    ...(temperatures.length > 0 ? temperatures : objectsOf(environment, 'TemperatureCelsius')).flatMap((one) =>
      reading(one, 'temperature', 'Cel', 'Reading', 'temperature'),
    ),
    ...objectsOf(environment, 'FanSpeedsPercent').flatMap((one) =>
      numberOf(one, 'SpeedRPM') === undefined
        ? reading(one, 'fan', '%', 'Reading', 'fan')
        : reading(one, 'fan', 'RPM', 'SpeedRPM', 'fan'),
    ),
  ]
}

function sensorOf(sensor: Resource): InventoryReading[] {
  const [kind, unit] = TYPES[textOf(sensor, 'ReadingType') ?? ''] ?? (['other', ''] as const)
  return reading(sensor, kind, unitOf(sensor) ?? unit, 'Reading', 'sensor')
}

/** Nothing for a sensor of a part that is absent: its name alone tells nobody anything. */
function reading(from: Resource, kind: Kind, unit: Unit, key: string, otherwise: string): InventoryReading[] {
  const status = child(from, 'Status')
  const value = numberOf(from, key)
  const state = textOf(status, 'State')
  if (value === undefined && state !== 'Enabled') return []
  const name = textOf(from, 'Name') ?? textOf(from, 'DeviceName') ?? textOf(from, 'Id') ?? otherwise
  return [{ name, kind, value, unit, health: textOf(status, 'Health') }]
}

function unitOf(resource: Resource): Unit | undefined {
  return UNITS[(textOf(resource, 'ReadingUnits') ?? '').toLowerCase()]
}
