import { example, JSON_OPTION } from '../../option.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('detach')
    .summary('take a medium out of a machine')
    .description(
      'Takes out the medium that this server has attached, and returns when the drive was seen to be empty. What somebody else has inserted is taken out only by the name of its drive.',
    )
    .argument('<machine>', 'name or id')
    .option('--drive <id>', 'of the BMC, as "media ls" shows it: whatever is in it')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat media detach rack1-07', 'bareboat media detach rack1-07 --drive CD1'))
    .action(async (machine: string, flags: { drive?: string; json?: boolean }) => {
      const name = await session.client().machines.detach(machine, { drive: flags.drive, signal: session.signal })
      if (flags.json === true) return session.printJson({ machine, name })
      return session.printLines([`${name} is out of ${machine}`])
    })
