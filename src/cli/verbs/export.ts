import { resolve } from 'node:path'
import { formatOfName, ROOT_FORMATS, rootFormatNames } from '../../model/export.ts'
import { example } from '../option.ts'
import { oneOf } from '../run/request.ts'
import { printOctets, refuseTerminal, saveFile } from '../save.ts'
import type { Register } from '../verbs.ts'

interface Flags {
  output?: string
  format?: string
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('export')
    .summary('write the files of a running container as an archive')
    .description(
      'Writes the root of a running container as it is now, without what is mounted in it. `bareboat import` makes an image of it.',
    )
    .argument('<container>', 'name or id')
    .option('-o, --output <file>', 'write to a file; without it, or as -, to standard output')
    .option('--format <format>', `${rootFormatNames.join(', ')}; else what the name of the file says, or tar`)
    .option('--json', 'with -o print what was written as JSON')
    .addHelpText('after', example('bareboat export -o rootfs.tar.gz web', 'bareboat export web | tar -t'))
    .action(async (container: string, flags: Flags) => {
      const output = flags.output === '-' ? undefined : flags.output
      const format =
        oneOf('--format', flags.format, rootFormatNames) ?? formatOfName(ROOT_FORMATS, output ?? '') ?? 'tar'
      if (output === undefined) refuseTerminal(session, `Cannot export "${container}"`)
      const download = await session.client().containers.export(container, format, { signal: session.signal })
      if (output === undefined) return printOctets(session, download)
      const saved = await saveFile(session, resolve(session.io.cwd, output), download)
      if (flags.json === true) await session.printJson({ ...saved, format })
    })
