import { example, JSON_OPTION } from '../option.ts'
import { formatTable, printable } from '../output/table.ts'
import type { Register } from '../verbs.ts'

export const register: Register = (program, session) => {
  const config = program.command('config').summary("show the server's configuration")
  config
    .command('show')
    .summary('show each key, its value and where the value comes from')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat config show'))
    .action(async (flags: { json?: boolean }) => {
      const entries = await session.client().config({ signal: session.signal })
      if (flags.json === true) return session.printJson(entries)
      const rows = entries.map(({ key, value, origin }) => [key, printable(value), origin])
      await session.print(formatTable([['KEY', 'VALUE', 'ORIGIN'], ...rows]))
    })
  return config
}
