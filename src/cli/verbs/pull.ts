import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { AppError } from '../../base/errors.ts'
import { example, JSON_OPTION } from '../option.ts'
import { showSteps } from '../output/progress.ts'
import { defined } from '../run/request.ts'
import type { Register } from '../verbs.ts'

interface Flags {
  platform?: string
  plainHttp?: boolean
  insecure?: boolean
  ca?: string
  quiet?: boolean
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('pull')
    .summary('fetch an image from its registry')
    .argument('<image>', 'reference of the image')
    .option('--platform <platform>', 'os/architecture[/variant]')
    .option('--plain-http', 'speak HTTP without TLS to the registry')
    .option('--insecure', "do not check the registry's certificate")
    .option('--ca <file>', 'certificates of further authorities, PEM')
    .option('-q, --quiet', 'do not show progress')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat pull alpine:3.20', 'bareboat pull --platform linux/arm64 debian'))
    .action(async (reference: string, { platform, plainHttp, insecure, ca: caFile, quiet, json }: Flags) => {
      using bars = showSteps(session, { quiet: quiet === true, json: json === true })
      const ca = caFile === undefined ? undefined : await readCa(resolve(session.io.cwd, caFile))
      const request = { reference, ...defined({ platform, plainHttp, insecure, ca }) }
      const image = await session
        .client()
        .images.pull(request, (progress) => bars.show(progress), { signal: session.signal })
      if (json === true) return session.printJson(image)
      await session.printLines([image.references.find((one) => one === reference) ?? image.references[0] ?? image.id])
    })

async function readCa(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new AppError('not_found', `Cannot read certificates "${path}"`, { cause })
  }
}
