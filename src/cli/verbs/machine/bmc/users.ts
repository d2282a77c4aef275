import type { BmcUser } from '../../../../model/bmc.ts'
import { example, FORMAT_OPTION, JSON_OPTION } from '../../../option.ts'
import { printList, type Column, type ListOptions } from '../../../output/list.ts'
import type { Register } from '../../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('users')
    .summary('users of the BMC')
    .argument('<machine>', 'name or id')
    .option(...FORMAT_OPTION)
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat machine bmc users rack1-07'))
    .action(async (machine: string, flags: ListOptions) => {
      const users = await session.client().machines.bmc.users(machine, { signal: session.signal })
      await printList(session, users, COLUMNS, flags)
    })

const COLUMNS: readonly Column<BmcUser>[] = [
  { field: 'ID', heading: 'ID', value: ({ id }) => String(id) },
  { field: 'Name', heading: 'NAME', value: ({ name }) => (name === '' ? '(null user)' : name) },
  {
    field: 'Enabled',
    heading: 'ENABLED',
    value: ({ isEnabled }) => (isEnabled === undefined ? 'unknown' : isEnabled ? 'yes' : 'no'),
  },
  { field: 'Privilege', heading: 'PRIVILEGE', value: ({ privilege }) => privilege },
]
