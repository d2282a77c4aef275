import { example } from '../option.ts'
import type { Register } from '../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('atimes')
    .summary('list the files that a container has read')
    .description(
      'Lists the files that a container has read or made since its boot: ./PATH, one a line, sorted. It must have been run with --rootfs nfs --reset-atime.',
    )
    .argument('<container>', 'name or id')
    .addHelpText('after', example('bareboat atimes web'))
    .action(async (container: string) => {
      const list = await session.client().containers.atimes(container, { signal: session.signal })
      for await (const bytes of list) await session.print(bytes)
    })
