import { example } from '../../option.ts'
import type { Register } from '../../verbs.ts'
import { RACK_OPTION, rackPlace, STATE_DIR_OPTION, type PlaceFlags } from './place.ts'

export const register: Register = (program, session) =>
  program
    .command('exec')
    .summary("run a program in a rack's network")
    .argument('<command...>', 'the program and its arguments')
    .passThroughOptions()
    .option(...RACK_OPTION)
    .option(...STATE_DIR_OPTION)
    .addHelpText(
      'after',
      example('bareboat rack exec bareboat server', 'bareboat rack exec ipmitool -I lanplus -H 172.29.0.101 …'),
    )
    .action(async (command: string[], flags: PlaceFlags) => {
      const { rackExec } = await import('../../../rack/rack.ts')
      // The program has the terminal: an interrupt reaches it directly and is its own to answer.
      using _ours = session.onInterrupt(() => {})
      session.exitCode = await rackExec(rackPlace(session, flags), command, {
        cwd: session.io.cwd,
        env: session.io.env as NodeJS.ProcessEnv,
      })
    })
