import { example, JSON_OPTION } from '../../option.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('rm')
    .summary('take machines out of a group')
    .argument('<group>', 'its name')
    .argument('<machines...>', 'names or ids')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat group rm compute node03'))
    .action(async (name: string, machines: string[], flags: { json?: boolean }) => {
      const group = await session.client().groups.change(name, { remove: machines }, { signal: session.signal })
      if (flags.json === true) await session.printJson(group)
      else await session.printLines([group.name])
    })
