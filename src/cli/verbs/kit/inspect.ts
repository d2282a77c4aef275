import { example } from '../../option.ts'
import type { Register } from '../../verbs.ts'
import { inspectAll } from '../inspect.ts'

export const register: Register = (program, session) =>
  program
    .command('inspect')
    .summary('show kits whole, with their packages and files')
    .argument('<kits...>', 'digests or prefixes of them')
    .option('-f, --format <template>', 'a Go template for each')
    .option('--json', 'print JSON (as without it)')
    .addHelpText('after', example("bareboat kit inspect -f '{{.kernelVersion}}' 3f2a"))
    .action((digests: string[], flags: { format?: string }) =>
      inspectAll(session, digests, flags, (digest) =>
        session.client().kits.inspect(digest, { signal: session.signal }),
      ),
    )
