import { AppError } from '../../../../base/errors.ts'
import { example } from '../../../option.ts'
import type { Register } from '../../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('identify')
    .summary('turn the identify light on or off')
    .argument('<machine>', 'name or id')
    .argument('[for]', 'seconds (1 to 255), on (until it is turned off), or off', '60')
    .addHelpText(
      'after',
      example('bareboat machine bmc identify rack1-07', 'bareboat machine bmc identify rack1-07 off'),
    )
    .action(async (machine: string, time: string) => {
      const seconds = parseTime(time)
      await session
        .client()
        .machines.bmc.identify(machine, seconds === undefined ? {} : { seconds }, { signal: session.signal })
    })

/** Undefined: until it is turned off. */
function parseTime(text: string): number | undefined {
  if (text === 'on' || text === 'force') return undefined
  if (text === 'off') return 0
  const seconds = Number(text)
  if (!/^\d+$/.test(text) || seconds > 255)
    throw new AppError('invalid', `Cannot turn the light on for "${text}": it is seconds from 1 to 255, on, or off`)
  return seconds
}
