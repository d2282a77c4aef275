import { example, JSON_OPTION } from '../option.ts'
import { seconds } from '../run/request.ts'
import { forEachName } from '../session.ts'
import type { Register } from '../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('restart')
    .summary('boot containers anew, whether they run or have exited')
    .argument('<containers...>', 'names or ids')
    .option('-t, --timeout <seconds>', 'how long the workload may take to end')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat restart web'))
    .action(async (names: string[], flags: { timeout?: string; json?: boolean }) => {
      const timeoutSeconds = seconds('--timeout', flags.timeout)
      const { containers } = session.client()
      await forEachName(session, names, async (name) => {
        const container = await containers.restart(name, timeoutSeconds, { signal: session.signal })
        await session.printLines([flags.json === true ? JSON.stringify(container) : name])
      })
    })
