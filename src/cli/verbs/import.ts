import { packDirectory } from '../copy/tar.ts'
import { example, JSON_OPTION } from '../option.ts'
import { showSteps } from '../output/progress.ts'
import { openSource } from '../source.ts'
import type { Register } from '../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('import')
    .summary('make an image of a root file system, a docker archive or an OCI layout, as a tar archive or a directory')
    .argument('<file>', 'a file, a directory, - for standard input, or a URL that the server fetches')
    .argument('[reference]', 'its name')
    .option('-q, --quiet', 'do not show progress')
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      example(
        'bareboat import rootfs.tar.zst my/system:1',
        'bareboat import ./layout',
        'docker save nginx | bareboat import -',
      ),
    )
    .action(async (file: string, reference: string | undefined, flags: { quiet?: boolean; json?: boolean }) => {
      const source = openSource(file, session, packDirectory)
      using bars = showSteps(session, { quiet: flags.quiet === true, json: flags.json === true })
      const { images } = session.client()
      const image = await images.import(source, reference, (progress) => bars.show(progress), {
        signal: session.signal,
      })
      if (flags.json === true) await session.printJson(image)
      else await session.printLines([image.id])
    })
