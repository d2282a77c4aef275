import { example, JSON_OPTION } from '../option.ts'
import type { Register } from '../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('rename')
    .summary('give a container another name')
    .argument('<container>', 'name or id')
    .argument('<name>', 'its new name')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat rename web web-old'))
    .action(async (container: string, name: string, flags: { json?: boolean }) => {
      const renamed = await session.client().containers.rename(container, name, { signal: session.signal })
      if (flags.json === true) await session.printJson(renamed)
    })
