import { AppError } from '../../base/errors.ts'
import { copyIn, copyOut, type CopyFlags } from '../copy/copy.ts'
import { parseSide } from '../copy/rules.ts'
import { example } from '../option.ts'
import { humanSize } from '../output/human.ts'
import type { Session } from '../session.ts'
import type { Register } from '../verbs.ts'

interface Flags extends CopyFlags {
  quiet?: boolean
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('cp')
    .summary('copy files and directories between a container and this system')
    .description(
      'Copies between a container and this system. `-` as source is a tar archive on standard input, as destination one on standard output. DIR/. is the content of a directory.',
    )
    .argument('<source>', 'CONTAINER:PATH, a path here, or -')
    .argument('<destination>', 'CONTAINER:PATH, a path here, or -')
    .option('-a, --archive', 'keep owner and group')
    .option('-L, --follow-link', 'follow a symbolic link that is the source')
    .option('-q, --quiet', 'do not say what was copied')
    .option('--json', 'print what was copied as JSON')
    .addHelpText('after', example('bareboat cp web:/var/log ./logs', 'tar c site | bareboat cp - web:/srv'))
    .action(async (source: string, destination: string, flags: Flags) => {
      const bytes = await copy(session, source, destination, flags)
      if (destination === '-') return
      if (flags.json === true) await session.printJson({ source, destination, bytes })
      else if (flags.quiet !== true) session.note(`Successfully copied ${humanSize(bytes)} to ${destination}`)
    })

function copy(session: Session, source: string, destination: string, flags: Flags): Promise<number> {
  const from = parseSide(source)
  const to = parseSide(destination)
  if (from.container !== undefined && to.container !== undefined)
    throw new AppError('unsupported', 'Cannot copy between containers: one side must be a path here or -')
  if (from.container !== undefined) return copyOut(session, from.container, from.path, to.path, flags)
  if (to.container !== undefined) return copyIn(session, from.path, to.container, to.path, flags)
  throw new AppError('invalid', `Cannot copy "${source}" to "${destination}": neither is CONTAINER:PATH`)
}
