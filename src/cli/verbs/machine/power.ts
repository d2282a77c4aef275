import { example, JSON_OPTION } from '../../option.ts'
import { oneOf } from '../../run/request.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('power')
    .summary("ask or change a machine's power")
    .description('Prints the state of the power as the BMC sees it, after the change if one was asked for.')
    .argument('<machine>', 'name or id')
    .argument('[action]', 'status, on, off, cycle or soft-off', 'status')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat machine power rack1-07', 'bareboat machine power rack1-07 cycle'))
    .action(async (machine: string, action: string, flags: { json?: boolean }) => {
      const asked = oneOf('power action', action, ['status', 'on', 'off', 'cycle', 'soft-off'] as const) ?? 'status'
      const { machines } = session.client()
      const options = { signal: session.signal }
      const state = await (asked === 'status'
        ? machines.power(machine, options)
        : machines.setPower(machine, asked, options))
      if (flags.json === true) await session.printJson({ machine, state })
      else await session.printLines([state])
    })
