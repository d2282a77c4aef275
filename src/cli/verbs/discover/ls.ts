import { example, FORMAT_OPTION, JSON_OPTION } from '../../option.ts'
import { printList, type ListOptions } from '../../output/list.ts'
import type { Register } from '../../verbs.ts'
import { COLUMNS } from './columns.ts'

export const register: Register = (program, session) =>
  program
    .command('ls')
    .alias('list')
    .summary('list the BMCs that were found')
    .option('-q, --quiet', 'addresses only')
    .option(...FORMAT_OPTION)
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat discover ls'))
    .action(async (flags: ListOptions) => {
      const bmcs = await session.client().discovery.list({ signal: session.signal })
      await printList(session, bmcs, COLUMNS, flags, ({ address }) => address)
    })
