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
        const { machines } = session.client()
        const machine = await machines.inspect(name, { signal: session.signal })
        const [inventory] = await machines.inventories(machine.id, { signal: session.signal })
        return inventory ? { ...machine, inventory } : machine
      }),
    )
