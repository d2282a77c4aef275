import { AppError } from '../../base/errors.ts'
import { example, JSON_OPTION } from '../option.ts'
import { forEachName } from '../session.ts'
import type { Register } from '../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('rm')
    .summary('remove containers that have exited')
    .argument('<containers...>', 'names or ids')
    .option('-f, --force', 'kill a running container first; a missing one is no error')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat rm -f web', 'bareboat rm $(bareboat ps -aq --filter status=exited)'))
    .action(async (names: string[], flags: { force?: boolean; json?: boolean }) => {
      const { containers } = session.client()
      const force = flags.force === true
      await forEachName(session, names, async (name) => {
        try {
          await containers.remove(name, { force, signal: session.signal })
        } catch (error) {
          // As docker: what is not there need not be removed, but it is said.
          if (!force || !(error instanceof AppError) || error.code !== 'not_found') throw error
          return session.note(`bareboat: ${error.message}`)
        }
        await session.printLines([flags.json === true ? JSON.stringify({ removed: name }) : name])
      })
    })
