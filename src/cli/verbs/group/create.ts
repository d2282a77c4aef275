import { example, JSON_OPTION } from '../../option.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('create')
    .summary('create a group')
    .argument('<group>', 'its name')
    .argument('[machines...]', 'its first members: names or ids')
    .option('--description <text>', 'what it is for')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat group create compute node01 node02'))
    .action(async (name: string, machines: string[], flags: { description?: string; json?: boolean }) => {
      const { description = '' } = flags
      const group = await session.client().groups.create({ name, machines, description }, { signal: session.signal })
      if (flags.json === true) await session.printJson(group)
      else await session.printLines([group.name])
    })
