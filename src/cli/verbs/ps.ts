import { AppError } from '../../base/errors.ts'
import { collect, example, FORMAT_OPTION, JSON_OPTION } from '../option.ts'
import { containerColumns } from '../output/container.ts'
import { shortId } from '../output/human.ts'
import { printList, type ListOptions } from '../output/list.ts'
import type { Register } from '../verbs.ts'

interface Flags extends ListOptions {
  all?: boolean
  trunc: boolean
  filter: string[]
  last?: string
  latest?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('ps')
    .summary('list containers')
    .description('Lists the containers that hold a machine, or with -a all of them, the newest first.')
    .option('-a, --all', 'exited, failed and created containers too')
    .option('-q, --quiet', 'ids only')
    .option('--no-trunc', 'do not shorten ids and commands')
    .option(
      '-f, --filter <key=value>',
      'id, name, label, status, machine, ancestor or exited (repeatable)',
      collect,
      [],
    )
    .option('-n, --last <count>', 'the last containers that were created, in any state')
    .option('-l, --latest', 'the last container that was created, in any state')
    .option(...FORMAT_OPTION)
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      example('bareboat ps -a --filter status=failed', "bareboat ps --format 'table {{.Names}}\\t{{.Machine}}'"),
    )
    .action(async (flags: Flags) => {
      const last = flags.latest === true ? 1 : parseCount(flags.last)
      const filters = flags.filter.map(checkFilter)
      // A state that is asked for by name is shown without -a as well.
      const all =
        flags.all === true || last !== undefined || filters.some((filter) => /^(status|state|exited)=/.test(filter))
      const containers = await session.client().containers.list({ all, filters, signal: session.signal })
      const newestFirst = containers.toSorted((a, b) => b.createdAt - a.createdAt).slice(0, last)
      const columns = containerColumns(session.io.now(), flags.trunc)
      await printList(session, newestFirst, columns, flags, ({ id }) => (flags.trunc ? shortId(id) : id))
    })

function parseCount(text: string | undefined): number | undefined {
  if (text === undefined || text === '-1') return undefined
  if (!/^\d+$/.test(text)) throw new AppError('invalid', `Cannot use --last "${text}": it is not a number`)
  return Number(text)
}

function checkFilter(filter: string): string {
  if (!filter.includes('=')) throw new AppError('invalid', `Cannot use filter "${filter}": it is not KEY=VALUE`)
  return filter
}
