import { createReadStream, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { AppError, systemCode } from '../../../base/errors.ts'
import type { Download } from '../../../client/calls.ts'
import type { MediaRequest } from '../../../client/images.ts'
import { formatOfName } from '../../../model/export.ts'
import { MEDIA_FORMATS, mediaFormats } from '../../../model/media.ts'
import { packTar } from '../../copy/tar.ts'
import { collect, example } from '../../option.ts'
import { oneOf } from '../../run/request.ts'
import { printOctets, refuseTerminal, saveFile } from '../../save.ts'
import type { Session } from '../../session.ts'
import type { Register } from '../../verbs.ts'
import { pairOf, type PairFlags } from './pair.ts'

interface Flags extends PairFlags {
  output?: string
  format?: string
  size?: string
  label?: string
  loader?: boolean
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('build')
    .summary('make a bootable medium')
    .description(
      'Makes a medium that boots an image by itself, one with the files of a directory or an ISO image, one that boots an imported kernel and initrd, or with --loader the small one that has a machine fetch everything else from the server. The same contents always give the same bytes.',
    )
    .argument(
      '[image-or-path]',
      'an image; or a path, which begins with / or .: a directory or an ISO image whose files are to be on it',
    )
    .option('-o, --output <file>', 'write to a file; without it, or as -, to standard output')
    .option('--format <format>', `${mediaFormats.join(', ')}; else what the name of the file says, or gpt`)
    .option('--size <bytes>', 'of the whole medium, such as 1000M; else as small as it can be')
    .option('--label <label>', 'of its file system (default: BAREBOAT)')
    .option('--loader', 'at most 4 MiB: iPXE, which asks the server what the machine is to be')
    .option('--kernel <kernel>', 'an imported kernel, with --initrd: a medium that boots the two')
    .option('--initrd <initrd>', 'an imported initrd')
    .option('--kernel-param <parameter>', 'for the imported kernel (repeatable)', collect, [])
    .option('--json', 'with -o print what was written as JSON')
    .addHelpText('after', `\nFormats:\n${formatList()}`)
    .addHelpText(
      'after',
      example(
        'bareboat media build -o debian.iso my/debian:12',
        'bareboat media build --loader -o loader.iso',
        'bareboat media build --kernel site --initrd rescue --kernel-param rescue=1 -o rescue.iso',
        'bareboat media build --format fat32 --label ARCH_202211 --size 1000M -o flash.img ./archlinux.iso',
      ),
    )
    .action(async (source: string | undefined, flags: Flags) => {
      const output = flags.output === '-' ? undefined : flags.output
      const format = oneOf('--format', flags.format, mediaFormats) ?? formatOfName(MEDIA_FORMATS, output ?? '') ?? 'gpt'
      if (output === undefined) refuseTerminal(session, 'Cannot build a medium')
      const request: MediaRequest = {
        format,
        ...(flags.size === undefined ? {} : { size: sizeIn(flags.size) }),
        ...(flags.label === undefined ? {} : { label: flags.label }),
      }
      const download = await begin(session, source, flags, request)
      if (output === undefined) return printOctets(session, download)
      const saved = await saveFile(session, resolve(session.io.cwd, output), download)
      if (flags.json === true) await session.printJson({ ...saved, format })
    })

function formatList(): string {
  return mediaFormats.map((name) => `  ${name.padEnd(9)} ${MEDIA_FORMATS[name].means}`).join('\n')
}

async function begin(
  session: Session,
  source: string | undefined,
  flags: Flags,
  request: MediaRequest,
): Promise<Download> {
  const { media } = session.client()
  const options = { signal: session.signal }
  const pair = pairOf(flags)
  if (pair) {
    if (source !== undefined || flags.loader === true)
      throw new AppError('invalid', 'Cannot build a medium of a kernel and of something else at once')
    return media.pair(pair, request, options)
  }
  if (flags.loader === true) {
    if (source !== undefined)
      throw new AppError('invalid', `Cannot build a loader of "${source}": --loader has no files of yours on it`)
    return media.loader(request, options)
  }
  if (source === undefined)
    throw new AppError('invalid', 'Cannot build a medium: name an image or a path, or give --loader or --kernel')
  // As docker tells a folder from a volume.
  if (!/^[/.]/.test(source)) return media.image(source, request, options)
  const path = resolve(session.io.cwd, source)
  const archive = isDirectory(source, path) ? packTar(path, '.', undefined, false) : createReadStream(path)
  return media.files(archive, request, options)
}

function isDirectory(named: string, path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch (cause) {
    const code = systemCode(cause)
    const why = code === 'ENOENT' ? 'there is no such file or directory' : (code ?? String(cause))
    throw new AppError('invalid', `Cannot build a medium of "${named}": ${why}`, { cause })
  }
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 }

/** A number of bytes, or with K, M, G or T of 1024 times as many, as dd and truncate have them. */
function sizeIn(text: string): number {
  const match = /^(\d{1,13})([KMGT]?)(?:iB)?$/.exec(text)
  const size = match === null ? Number.NaN : Number(match[1]) * UNITS[match[2]!]!
  if (!Number.isSafeInteger(size) || size === 0)
    throw new AppError('invalid', `Cannot use --size "${text}": it is no number of bytes such as 1000M or 4G`)
  return size
}
