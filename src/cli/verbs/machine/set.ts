import { AppError } from '../../../base/errors.ts'
import { example, JSON_OPTION } from '../../option.ts'
import type { Register } from '../../verbs.ts'
import { addSpecOptions, readBmcPassword, toChange, type SpecFlags } from './spec.ts'

export const register: Register = (program, session) =>
  addSpecOptions(program.command('set'))
    .summary('change what is registered of a machine')
    .description(
      'Changes what is registered of a machine. What is not named stays; a list that is named replaces the old one.',
    )
    .argument('<machine>', 'name or id')
    .option('--enable', 'containers may run on it')
    .option('--disable', 'no container may be started on it')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat machine set rack1-07 --rank 3 --disable'))
    .action(async (name: string, flags: SpecFlags & { enable?: boolean; disable?: boolean }) => {
      if (flags.enable === true && flags.disable === true)
        throw new AppError('invalid', `Cannot set machine "${name}": --enable and --disable exclude each other`)
      const bmcPassword = await readBmcPassword(session, flags, flags.bmc !== undefined)
      const enabled = flags.enable === true ? true : flags.disable === true ? false : undefined
      const change = {
        ...toChange(flags),
        ...(bmcPassword === undefined ? {} : { bmcPassword }),
        ...(enabled === undefined ? {} : { enabled }),
      }
      if (Object.keys(change).length === 0)
        throw new AppError('invalid', `Cannot set machine "${name}": nothing to change was named`)
      const machine = await session.client().machines.set(name, change, { signal: session.signal })
      if (flags.json === true) await session.printJson(machine)
      else await session.printLines([machine.name])
    })
