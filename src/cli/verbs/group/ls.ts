import type { Group } from '../../../model/nodes.ts'
import { example, FORMAT_OPTION, JSON_OPTION } from '../../option.ts'
import { printList, type Column, type ListOptions } from '../../output/list.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('ls')
    .alias('list')
    .summary('list groups')
    .option('-q, --quiet', 'names only')
    .option(...FORMAT_OPTION)
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat group ls'))
    .action(async (flags: ListOptions) => {
      const groups = await session.client().groups.list({ signal: session.signal })
      await printList(session, groups, COLUMNS, flags, ({ name }) => name)
    })

const COLUMNS: readonly Column<Group>[] = [
  { field: 'Name', heading: 'NAME', value: ({ name }) => name },
  { field: 'Count', heading: 'COUNT', value: ({ machines }) => String(machines.length) },
  { field: 'Machines', heading: 'MACHINES', value: ({ machines }) => shortList(machines) },
  { field: 'Description', heading: 'DESCRIPTION', value: ({ description }) => description },
]

function shortList(names: readonly string[]): string {
  return names.slice(0, 8).join(',') + (names.length > 8 ? ',…' : '')
}
