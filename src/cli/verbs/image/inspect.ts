import { example } from '../../option.ts'
import type { Register } from '../../verbs.ts'
import { inspectAll } from '../inspect.ts'

export const register: Register = (program, session) =>
  program
    .command('inspect')
    .summary('show images whole')
    .argument('<images...>', 'references or ids')
    .option('-f, --format <template>', 'a Go template for each')
    .option('--json', 'print JSON (as without it)')
    .addHelpText('after', example("bareboat image inspect -f '{{json .config.config.Cmd}}' nginx"))
    .action((names: string[], flags: { format?: string }) =>
      inspectAll(session, names, flags, (name) => session.client().images.inspect(name, { signal: session.signal })),
    )
