import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { AppError, systemCode } from '../../../base/errors.ts'
import { writeOut } from '../../io.ts'
import { example } from '../../option.ts'
import { oneOf } from '../../run/request.ts'
import type { Register } from '../../verbs.ts'

interface Flags {
  output?: string
  format: string
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('export')
    .summary('write the files of an image as one archive')
    .argument('<image>', 'reference or id')
    .option('-o, --output <file>', 'write to a file instead of standard output')
    .option('--format <format>', 'tar or cpio', 'tar')
    .option('--json', 'with -o print what was written as JSON')
    .addHelpText('after', example('bareboat image export -o rootfs.tar nginx'))
    .action(async (image: string, flags: Flags) => {
      const format = oneOf('--format', flags.format, ['tar', 'cpio'] as const) ?? 'tar'
      const { io, signal } = session
      if (flags.output === undefined && io.stdout.isTTY === true)
        throw new AppError(
          'invalid',
          `Cannot export "${image}": standard output is a terminal; use -o FILE or redirect it`,
        )
      const body = await session.client().images.export(image, format, { signal })
      if (flags.output === undefined || flags.output === '-') {
        for await (const chunk of body) await writeOut(io.stdout, chunk)
        return
      }
      const path = resolve(io.cwd, flags.output)
      const sizeBytes = await writeWhole(path, body, signal)
      if (flags.json === true) await session.printJson({ path, sizeBytes })
    })

/** The file appears whole or not at all. */
async function writeWhole(path: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<number> {
  const partial = `${path}.${process.pid}.partial`
  const file = createWriteStream(partial)
  try {
    await pipeline(body, file, { signal })
    await rename(partial, path)
    return file.bytesWritten
  } catch (cause) {
    await rm(partial, { force: true })
    signal.throwIfAborted()
    if (cause instanceof AppError) throw cause
    throw new AppError(
      'invalid',
      `Cannot write "${path}": ${systemCode(cause) ?? 'the archive did not arrive whole'}`,
      { cause },
    )
  }
}
