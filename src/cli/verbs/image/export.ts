import { basename, dirname, join, resolve } from 'node:path'
import { AppError } from '../../../base/errors.ts'
import { EXPORT_FORMATS, exportFormatNames, formatOfName, type ExportFormatName } from '../../../model/export.ts'
import { unpackRoot } from '../../copy/tar.ts'
import { example } from '../../option.ts'
import { oneOf } from '../../run/request.ts'
import { printOctets, refuseTerminal, saveFile, saveText, saveWithDigests, watched, type Saved } from '../../save.ts'
import type { Session } from '../../session.ts'
import type { Register } from '../../verbs.ts'

interface Flags {
  output?: string
  format?: string
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('export')
    .summary('write an image as an archive, a file system or a directory')
    .description(
      'Writes the files of an image, or the image itself, in another form. The same image always gives the same bytes.',
    )
    .argument('<image>', 'reference or id')
    .option('-o, --output <file>', 'write to a file (dir: a directory); without it, or as -, to standard output')
    .option('--format <format>', `${exportFormatNames.join(', ')}; else what the name of the file says, or tar`)
    .option('--json', 'with -o print what was written as JSON')
    .addHelpText('after', `\nFormats:\n${formatList()}`)
    .addHelpText(
      'after',
      example(
        'bareboat image export -o rootfs.tar nginx',
        'bareboat image export -o img.tar.lz4 my/debian:12',
        'bareboat image export --format docker nginx | docker load',
        'bareboat image export --format dir -o rootfs nginx',
      ),
    )
    .action(async (image: string, flags: Flags) => {
      const output = flags.output === '-' ? undefined : flags.output
      const format =
        oneOf('--format', flags.format, exportFormatNames) ?? formatOfName(EXPORT_FORMATS, output ?? '') ?? 'tar'
      const saved = await write(session, image, format, output)
      if (flags.json === true && saved[0] !== undefined) await session.printJson({ ...saved[0], format, files: saved })
    })

function formatList(): string {
  return exportFormatNames.map((name) => `  ${name.padEnd(9)} ${EXPORT_FORMATS[name].means}`).join('\n')
}

/** @returns the files that were written */
async function write(
  session: Session,
  image: string,
  format: ExportFormatName,
  output: string | undefined,
): Promise<Saved[]> {
  const { images } = session.client()
  const options = { signal: session.signal }
  if (output === undefined) {
    if (format === 'dir') throw new AppError('invalid', `Cannot export "${image}": --format dir needs -o DIRECTORY`)
    refuseTerminal(session, `Cannot export "${image}"`)
    await printOctets(session, await images.export(image, format, options))
    return []
  }
  const path = resolve(session.io.cwd, output)
  if (format === 'dir') return [await writeDirectory(session, image, path)]
  const download = await images.export(image, format, options)
  if (format !== 'tar.lz4') return [await saveFile(session, path, download)]
  const saved = await saveWithDigests(session, path, download)
  const packages = await images.packages(image, options).catch((error: unknown) => {
    if (!(error instanceof AppError) || error.code !== 'not_found') throw error
    session.note(`bareboat: no packages.txt: ${error.message}`)
    return undefined
  })
  return packages === undefined ? saved : [...saved, await saveText(join(dirname(path), 'packages.txt'), packages)]
}

async function writeDirectory(session: Session, image: string, path: string): Promise<Saved> {
  const isRoot = session.io.uid === 0
  if (!isRoot)
    session.note(
      'bareboat: you are not root: all files will be yours; device nodes, and attributes that only root may set, are left out',
    )
  const download = await session.client().images.export(image, 'dir', { devices: isRoot, signal: session.signal })
  let sizeBytes = 0
  const counted = async function* () {
    for await (const chunk of watched(session, basename(path), download)) {
      sizeBytes += chunk.length
      yield chunk
    }
  }
  await unpackRoot(counted(), path, isRoot, session.signal)
  return { path, sizeBytes }
}
