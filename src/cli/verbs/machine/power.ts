import { AppError, explain } from '../../../base/errors.ts'
import type { PowerAction } from '../../../model/machine.ts'
import { example, JSON_OPTION, POWER_ACTIONS } from '../../option.ts'
import type { Register } from '../../verbs.ts'

type Asked = (typeof POWER_ACTIONS)[number]
/** How many machines are asked at once: a request each. */
const AT_ONCE = 64

export const register: Register = (program, session) =>
  program
    .command('power')
    .summary('ask or change the power of machines')
    .description(
      'Prints the state of the power as the BMC sees it, after the change if one was asked for. The action (status, on, off, cycle, soft-off) stands before or after the machines; several machines are asked at once, and each has its own line.',
    )
    .argument('<machine-or-action...>', 'names or ids, and an action; status without one')
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      example(
        'bareboat machine power rack1-07',
        'bareboat machine power rack1-07 cycle',
        'bareboat machine power on rack1-07 rack1-08 rack1-09',
      ),
    )
    .action(async (words: string[], flags: { json?: boolean }) => {
      const { action, machines: names } = parseWords(words)
      const { machines } = session.client()
      const options = { signal: session.signal }
      const ask = (machine: string) =>
        action === 'status' ? machines.power(machine, options) : machines.setPower(machine, action, options)
      const [only] = names
      if (names.length === 1) {
        const state = await ask(only!)
        return flags.json === true ? session.printJson({ machine: only, state }) : session.printLines([state])
      }
      const results: object[] = []
      const next = names.values()
      const worker = async () => {
        for (const machine of next)
          try {
            const state = await ask(machine)
            results.push({ machine, state })
            if (flags.json !== true) await session.printLines([`${machine}: ${state}`])
          } catch (error) {
            if (session.signal.aborted) throw error
            results.push({ machine, error: explain(error) })
            session.complain(error)
          }
      }
      await Promise.all(Array.from({ length: Math.min(AT_ONCE, names.length) }, worker))
      if (flags.json === true) await session.printJson(results)
    })

/** The action is the first word or the last; all others are machines. */
function parseWords(words: readonly string[]): { action: Asked; machines: readonly string[] } {
  const first = asAction(words[0])
  const last = asAction(words.at(-1))
  if (words.length > 1 && first) return { action: first, machines: words.slice(1) }
  if (words.length > 1 && last) return { action: last, machines: words.slice(0, -1) }
  if (words.length === 1 && first)
    throw new AppError('invalid', `Cannot ${first === 'status' ? 'ask' : `switch ${first}`}: no machine is named`)
  return { action: 'status', machines: words }
}

function asAction(word: string | undefined): PowerAction | 'status' | undefined {
  return POWER_ACTIONS.find((action) => action === word)
}
