import { AppError } from '../../../base/errors.ts'
import { example, JSON_OPTION } from '../../option.ts'
import type { Register } from '../../verbs.ts'
import { addSpecOptions, readBmcPassword, toChange, type SpecFlags } from './spec.ts'

export const register: Register = (program, session) =>
  addSpecOptions(program.command('add'))
    .summary('register a machine')
    .description(
      "Registers a machine. The BMC's password is asked for on the terminal, or taken from --bmc-password-file or BAREBOAT_BMC_PASSWORD.",
    )
    .argument('<name>', 'its name')
    .option('--disabled', 'no container may run on it yet')
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      example('bareboat machine add rack1-07 --mac 52:54:00:12:34:56 --bmc ipmi://admin@10.0.3.7 --group rack1'),
    )
    .action(async (name: string, flags: SpecFlags & { disabled?: boolean }) => {
      const { macs, ...change } = toChange(flags)
      if (macs === undefined)
        throw new AppError(
          'invalid',
          `Cannot add machine "${name}": it needs at least one --mac, its boot interface first`,
        )
      const bmcPassword = await readBmcPassword(session, flags, true)
      const machine = await session.client().machines.add(
        {
          name,
          macs,
          ...change,
          ...(bmcPassword === undefined ? {} : { bmcPassword }),
          ...(flags.disabled === true ? { enabled: false } : {}),
        },
        { signal: session.signal },
      )
      if (flags.json === true) await session.printJson(machine)
      else await session.printLines([machine.name])
    })
