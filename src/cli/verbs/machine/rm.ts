import { example, JSON_OPTION } from '../../option.ts'
import { forEachName } from '../../session.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('rm')
    .summary('forget machines')
    .argument('<machines...>', 'names or ids')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat machine rm rack1-07'))
    .action(async (names: string[], flags: { json?: boolean }) => {
      const { machines } = session.client()
      await forEachName(session, names, async (name) => {
        await machines.remove(name, { signal: session.signal })
        await session.printLines([flags.json === true ? JSON.stringify({ removed: name }) : name])
      })
    })
