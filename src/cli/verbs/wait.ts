import { example, JSON_OPTION } from '../option.ts'
import { forEachName } from '../session.ts'
import type { Register } from '../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('wait')
    .summary('wait until containers exit, and print their exit codes')
    .argument('<containers...>', 'names or ids')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat wait web'))
    .action(async (names: string[], flags: { json?: boolean }) => {
      const { containers } = session.client()
      await forEachName(session, names, async (name) => {
        const end = await containers.wait(name, { signal: session.signal })
        // A container that failed has no exit code of a workload; 125 says that bareboat itself failed.
        const code = end.exitCode ?? (end.state === 'failed' ? 125 : 0)
        await session.printLines([flags.json === true ? JSON.stringify(end) : String(code)])
      })
    })
