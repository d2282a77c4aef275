import { AppError } from '../../../base/errors.ts'
import { example } from '../../option.ts'
import type { Register } from '../../verbs.ts'
import { inspectAll } from '../inspect.ts'

export const register: Register = (program, session) =>
  program
    .command('inspect')
    .summary('show machines whole, with what is known of their hardware')
    .argument('<machines...>', 'names or ids')
    .option('-f, --format <template>', 'a Go template for each')
    .option('--json', 'print JSON (as without it)')
    .addHelpText('after', example("bareboat machine inspect -f '{{.memoryMiB}}' rack1-07"))
    .action((names: string[], flags: { format?: string }) =>
      inspectAll(session, names, flags, async (name) => {
        const { machines, discovery } = session.client()
        const machine = await machines.inspect(name, { signal: session.signal })
        try {
          return { ...machine, inventory: await discovery.inventory(machine.id, { signal: session.signal }) }
        } catch (error) {
          // Nobody has read its hardware yet.
          if (error instanceof AppError && error.code === 'not_found') return machine
          throw error
        }
      }),
    )
