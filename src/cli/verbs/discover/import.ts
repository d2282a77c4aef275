import type { ImportStep } from '../../../model/discovery.ts'
import { example, JSON_OPTION } from '../../option.ts'
import { formatTable, printable } from '../../output/table.ts'
import type { Register } from '../../verbs.ts'

interface Flags {
  dryRun?: boolean
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('import')
    .summary('make or update machines of what was crawled')
    .description(
      'A system is the machine that has its serial number, UUID or a MAC address of it, never the one that has its IP address. A system that would be two machines is an error, and nothing is changed then. What was written by hand stays.',
    )
    .argument('[bmcs...]', 'addresses, as `discover ls` prints them; all that were crawled when none is named')
    .option('--dry-run', 'say what would be done, and do nothing')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat discover import --dry-run', 'bareboat discover import 10.0.3.7'))
    .action(async (bmcs: string[], { dryRun = false, json }: Flags) => {
      const answer = await session.client().discovery.import({ bmcs, dryRun }, { signal: session.signal })
      if (json === true) return session.printJson(answer)
      await session.print(formatTable([HEADINGS, ...answer.steps.map((step) => rowOf(step).map(printable))]))
      if (answer.steps.length === 0)
        session.note('nothing to import: no BMC was crawled; see: bareboat discover crawl --help')
    })

const HEADINGS = ['ACTION', 'MACHINE', 'BMC', 'SYSTEM', 'MATCHED BY', 'CHANGES']

function rowOf({ action, machine, address, system, matchedBy, changes, why }: ImportStep): string[] {
  return [
    action,
    machine ?? '',
    address,
    system?.split('/').at(-1) ?? '',
    matchedBy.join(','),
    why ?? (changes.length > 0 ? changes.join('; ') : 'inventory'),
  ]
}
