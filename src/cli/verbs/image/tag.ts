import { example, JSON_OPTION } from '../../option.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('tag')
    .summary('give an image another name')
    .argument('<image>', 'reference or id')
    .argument('<reference>', 'its new name')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat image tag alpine:3.20 my/base:1'))
    .action(async (image: string, reference: string, flags: { json?: boolean }) => {
      const tagged = await session.client().images.tag(image, reference, { signal: session.signal })
      if (flags.json === true) await session.printJson(tagged)
    })
