import type { BmcSensor } from '../../../../model/bmc.ts'
import { example, FORMAT_OPTION, JSON_OPTION } from '../../../option.ts'
import { printList, type Column, type ListOptions } from '../../../output/list.ts'
import type { Register } from '../../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('sensors')
    .alias('sdr')
    .summary("readings of the BMC's sensors")
    .argument('<machine>', 'name or id')
    .option('-a, --all', 'sensors without a reading, too')
    .option(...FORMAT_OPTION)
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      example('bareboat machine bmc sensors rack1-07', 'bareboat machine bmc sensors --all --json rack1-07'),
    )
    .action(async (machine: string, flags: ListOptions & { all?: boolean }) => {
      const sensors = await session.client().machines.bmc.sensors(machine, { signal: session.signal })
      const shown = flags.all === true ? sensors : sensors.filter(({ status }) => status !== 'unavailable')
      await printList(session, shown, COLUMNS, flags)
    })

const limit = (low: number | undefined, high: number | undefined) =>
  low === undefined && high === undefined ? '' : `${low ?? ''}..${high ?? ''}`

const COLUMNS: readonly Column<BmcSensor>[] = [
  { field: 'Name', heading: 'NAME', value: ({ name }) => name },
  { field: 'Type', heading: 'TYPE', value: ({ type }) => type },
  { field: 'Reading', heading: 'READING', value: reading },
  { field: 'Status', heading: 'STATUS', value: ({ status }) => status },
  {
    field: 'Warning',
    heading: 'OK WITHIN',
    value: ({ thresholds: t }) => limit(t.lowerNonCritical, t.upperNonCritical),
  },
  {
    field: 'Critical',
    heading: 'CRITICAL OUTSIDE',
    value: ({ thresholds: t }) => limit(t.lowerCritical, t.upperCritical),
  },
]

function reading({ value, unit, states }: BmcSensor): string {
  if (value === undefined) return states.join(', ')
  return unit === undefined ? String(value) : `${value} ${unit}`
}
