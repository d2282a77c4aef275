import { example, JSON_OPTION } from '../../option.ts'
import { forEachName } from '../../session.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('rm')
    .summary('remove kits')
    .argument('<kits...>', 'digests or prefixes of them')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat kit rm 3f2a'))
    .action(async (digests: string[], flags: { json?: boolean }) => {
      const { kits } = session.client()
      await forEachName(session, digests, async (digest) => {
        await kits.remove(digest, { signal: session.signal })
        await session.printLines([flags.json === true ? JSON.stringify({ removed: digest }) : digest])
      })
    })
