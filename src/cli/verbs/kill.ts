import { example, JSON_OPTION } from '../option.ts'
import { forEachName } from '../session.ts'
import type { Register } from '../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('kill')
    .summary('kill containers: the workload gets a signal, KILL when none is named')
    .argument('<containers...>', 'names or ids')
    .option('-s, --signal <signal>', 'name or number of the signal')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat kill -s HUP web'))
    .action(async (names: string[], flags: { signal?: string; json?: boolean }) => {
      const { containers } = session.client()
      await forEachName(session, names, async (name) => {
        const container = await containers.kill(name, flags.signal, { signal: session.signal })
        await session.printLines([flags.json === true ? JSON.stringify(container) : name])
      })
    })
