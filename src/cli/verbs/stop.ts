import { example, JSON_OPTION } from '../option.ts'
import { seconds } from '../run/request.ts'
import { forEachName } from '../session.ts'
import type { Register } from '../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('stop')
    .summary('stop containers: the workload is asked to end, then the machine is switched off')
    .argument('<containers...>', 'names or ids')
    .option('-t, --timeout <seconds>', 'how long the workload may take')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat stop -t 30 web'))
    .action(async (names: string[], flags: { timeout?: string; json?: boolean }) => {
      const timeoutSeconds = seconds('--timeout', flags.timeout)
      const { containers } = session.client()
      await forEachName(session, names, async (name) => {
        const container = await containers.stop(name, timeoutSeconds, { signal: session.signal })
        await session.printLines([flags.json === true ? JSON.stringify(container) : name])
      })
    })
