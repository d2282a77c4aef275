import { example, JSON_OPTION } from '../option.ts'
import { formatTable, printable } from '../output/table.ts'
import type { Register } from '../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('top')
    .summary('show the processes of a container')
    .argument('<container>', 'name or id')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat top web'))
    .action(async (container: string, flags: { json?: boolean }) => {
      const answer = await session.client().containers.top(container, { signal: session.signal })
      if (flags.json === true) return session.printJson(answer)
      await session.print(formatTable([answer.titles, ...answer.processes.map((cells) => cells.map(printable))]))
    })
