import { example, JSON_OPTION } from '../../option.ts'
import { forEachName } from '../../session.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('reboot')
    .summary('start machines without a container anew')
    .description(
      'Starts machines anew that run no container: by the agent where it runs, which takes some seconds, else by the BMC. Containers are started anew with: bareboat restart',
    )
    .argument('<machines...>', 'names or ids')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat machine reboot rack1-07'))
    .action(async (names: string[], flags: { json?: boolean }) => {
      await forEachName(session, names, async (name) => {
        const { by } = await session.client().machines.reboot(name, { signal: session.signal })
        await session.printLines([flags.json === true ? JSON.stringify({ machine: name, by }) : name])
      })
    })
