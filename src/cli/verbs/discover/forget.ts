import { example } from '../../option.ts'
import { forEachName } from '../../session.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('forget')
    .summary('forget BMCs that were found, their certificates and passwords')
    .argument('<bmcs...>', 'addresses, as `discover ls` prints them')
    .addHelpText('after', example('bareboat discover forget 10.0.3.7'))
    .action((addresses: string[]) =>
      forEachName(session, addresses, async (address) => {
        await session.client().discovery.forget(address, { signal: session.signal })
        await session.printLines([address])
      }),
    )
