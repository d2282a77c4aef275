import { AppError } from '../../base/errors.ts'
import { example } from '../option.ts'
import { SCRIPTS } from '../complete/scripts.ts'
import type { Register } from '../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('completion')
    .summary('print a script that completes commands in a shell')
    .argument('<shell>', Object.keys(SCRIPTS).join(', '))
    .addHelpText(
      'after',
      example(
        'source <(bareboat completion bash)',
        'bareboat completion fish > ~/.config/fish/completions/bareboat.fish',
      ),
    )
    .action(async (shell: string) => {
      if (!Object.hasOwn(SCRIPTS, shell))
        throw new AppError('invalid', `Cannot complete in "${shell}": it is not ${Object.keys(SCRIPTS).join(', ')}`)
      await session.print(SCRIPTS[shell as keyof typeof SCRIPTS])
    })
