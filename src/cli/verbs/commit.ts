import { collect, example, JSON_OPTION } from '../option.ts'
import { showSteps } from '../output/progress.ts'
import type { Register } from '../verbs.ts'

interface Flags {
  author?: string
  message?: string
  change: string[]
  quiet?: boolean
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('commit')
    .summary('make an image of what a running container has changed')
    .description(
      'Makes an image: that of the container and, as one more layer, what the container has changed. The workload goes on meanwhile.',
    )
    .argument('<container>', 'name or id')
    .argument('[reference]', 'name of the new image')
    .option('-a, --author <author>', 'who made it')
    .option('-m, --message <message>', 'a comment in its history')
    .option(
      '-c, --change <instruction>',
      'change its config: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, …',
      collect,
      [],
    )
    .option('-q, --quiet', 'do not show progress')
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      example(
        'bareboat commit web my/web:2',
        `bareboat commit -m 'with the site' -c 'CMD ["nginx", "-g", "daemon off;"]' web my/web:3`,
      ),
    )
    .action(async (container: string, reference: string | undefined, flags: Flags) => {
      using bars = showSteps(session, { quiet: flags.quiet === true, json: flags.json === true })
      const { author, message, change: changes } = flags
      const request = {
        ...(reference === undefined ? {} : { reference }),
        ...(author === undefined ? {} : { author }),
        ...(message === undefined ? {} : { message }),
        changes,
      }
      const image = await session.client().containers.commit(container, request, (progress) => bars.show(progress), {
        signal: session.signal,
      })
      if (flags.json === true) await session.printJson(image)
      else await session.printLines([image.id])
    })
