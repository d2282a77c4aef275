import { AppError } from '../../../base/errors.ts'
import { example, JSON_OPTION } from '../../option.ts'
import { forEachName } from '../../session.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('accept')
    .summary('let containers run on machines that came by themselves')
    .description(
      'Accepts machines that were discovered, or rejected: containers may run on them. A machine that nobody can switch on needs a BMC too: bareboat machine set MACHINE --bmc URL',
    )
    .argument('<machines...>', 'names or ids')
    .option('--name <name>', 'what the machine is called from now on (for one machine)')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat machine accept --name rack1-07 m-525400123456'))
    .action(async (names: string[], flags: { name?: string; json?: boolean }) => {
      if (flags.name !== undefined && names.length > 1)
        throw new AppError('invalid', `Cannot accept ${names.length} machines as "${flags.name}": --name is for one`)
      const options = { signal: session.signal, ...(flags.name === undefined ? {} : { name: flags.name }) }
      await forEachName(session, names, async (name) => {
        const machine = await session.client().machines.accept(name, options)
        await session.printLines([flags.json === true ? JSON.stringify(machine) : machine.name])
      })
    })
