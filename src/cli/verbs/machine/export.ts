import { example } from '../../option.ts'
import { oneOf } from '../../run/request.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('export')
    .summary('print a nodes file of machines, which `discover static` reads')
    .description(
      'Prints a static discovery file. It has all that such a file has a place for; how to speak to a BMC, its password, the rank and what a machine has told of itself are not in it.',
    )
    .argument('[machines...]', 'names or ids; all when absent')
    .option('-f, --format <format>', 'yaml or json', 'yaml')
    .addHelpText('after', example('bareboat machine export > nodes.yaml'))
    .action(async (machines: string[], flags: { format: string }) => {
      const format = oneOf('--format', flags.format, ['yaml', 'json'] as const) ?? 'yaml'
      const bytes = await session.client().discover.nodesFile(machines, format, { signal: session.signal })
      for await (const part of bytes) await session.print(part)
    })
