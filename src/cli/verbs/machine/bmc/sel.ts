import type { SelEntry } from '../../../../model/bmc.ts'
import { example, FORMAT_OPTION, JSON_OPTION } from '../../../option.ts'
import { printList, type Column, type ListOptions } from '../../../output/list.ts'
import type { Register } from '../../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('sel')
    .summary('print or empty the system event log')
    .argument('<machine>', 'name or id')
    .option('--clear', 'empty it, once it was printed')
    .option(...FORMAT_OPTION)
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat machine bmc sel rack1-07', 'bareboat machine bmc sel --clear rack1-07'))
    .action(async (machine: string, flags: ListOptions & { clear?: boolean }) => {
      const { bmc } = session.client().machines
      const options = { signal: session.signal }
      const log = await bmc.sel(machine, options)
      if (flags.json === true) await session.printJson(log)
      else await printList(session, log.entries, COLUMNS, flags)
      if (log.hasOverflowed) session.note('The log was full: entries are missing; empty it with --clear')
      if (flags.clear === true) await bmc.clearSel(machine, options)
    })

const COLUMNS: readonly Column<SelEntry>[] = [
  { field: 'ID', heading: 'ID', value: ({ id }) => String(id) },
  { field: 'Time', heading: 'TIME', value: time },
  { field: 'Sensor', heading: 'SENSOR', value: ({ sensor }) => sensor },
  { field: 'Type', heading: 'TYPE', value: ({ type }) => type },
  { field: 'Event', heading: 'EVENT', value: event },
]

function time({ at, sinceStartSeconds }: SelEntry): string {
  if (at !== undefined) return new Date(at).toISOString().replace('.000', '')
  return sinceStartSeconds === undefined ? 'unknown' : `${sinceStartSeconds}s after the BMC's start`
}

function event({ event, isAsserted, value, threshold, unit }: SelEntry): string {
  const ended = isAsserted === false ? ' (ended)' : ''
  const of = unit === undefined || unit === 'unspecified' ? '' : ` ${unit}`
  const reading = value === undefined ? '' : `, ${value}${of}`
  return `${event}${ended}${reading}${threshold === undefined ? '' : `, threshold ${threshold}${of}`}`
}
