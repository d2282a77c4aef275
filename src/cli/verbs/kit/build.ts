import { example, JSON_OPTION } from '../../option.ts'
import { showSteps } from '../../output/progress.ts'
import { defined, oneOf } from '../../run/request.ts'
import type { Register } from '../../verbs.ts'

interface Flags {
  arch?: string
  flavour?: string
  force?: boolean
  quiet?: boolean
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('build')
    .summary('build a kit from Debian packages')
    .option('--arch <architecture>', 'of the machines that it is for: amd64 or arm64')
    .option('--flavour <flavour>', 'kernel: full (all drivers) or cloud (virtual machines)')
    .option('--force', 'even when the same kit is there')
    .option('-q, --quiet', 'do not show progress')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat kit build --flavour cloud'))
    .action(async ({ arch, flavour, force, quiet, json }: Flags) => {
      const request = defined({
        architecture: oneOf('--arch', arch, ['amd64', 'arm64'] as const),
        flavour: oneOf('--flavour', flavour, ['full', 'cloud'] as const),
        force,
      })
      using bars = showSteps(session, { quiet: quiet === true, json: json === true })
      const kit = await session
        .client()
        .kits.build(request, (progress) => bars.show(progress), { signal: session.signal })
      if (json === true) await session.printJson(kit)
      else await session.printLines([kit.digest])
    })
