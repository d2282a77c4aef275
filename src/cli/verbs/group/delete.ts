import { example, JSON_OPTION } from '../../option.ts'
import { forEachName } from '../../session.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('delete')
    .summary('delete groups; their machines stay')
    .argument('<groups...>', 'names')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat group delete compute'))
    .action(async (names: string[], flags: { json?: boolean }) => {
      await forEachName(session, names, async (name) => {
        await session.client().groups.remove(name, { signal: session.signal })
        await session.printLines([flags.json === true ? JSON.stringify({ removed: name }) : name])
      })
    })
