import { example, JSON_OPTION } from '../../option.ts'
import { printable } from '../../output/table.ts'
import type { Register } from '../../verbs.ts'

const LETTER = { added: 'A', removed: 'D', changed: 'C' } as const

export const register: Register = (program, session) =>
  program
    .command('diff')
    .summary('show what differs between the files of two images')
    .argument('<image>', 'reference or id')
    .argument('<other-image>', 'reference or id')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat image diff alpine:3.19 alpine:3.20'))
    .action(async (a: string, b: string, flags: { json?: boolean }) => {
      const changes = await session.client().images.diff(a, b, { signal: session.signal })
      if (flags.json === true) return session.printJson(changes)
      await session.printLines(
        changes.map(({ kind, path, what }) => printable(`${LETTER[kind]} ${path}${what === '' ? '' : ` (${what})`}`)),
      )
    })
