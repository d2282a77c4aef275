import { AppError } from '../../../../base/errors.ts'
import { RECORDABLE, type Recordable } from '../../../../model/bmc.ts'
import { example } from '../../../option.ts'
import { saveText } from '../../../save.ts'
import type { Register } from '../../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('record')
    .summary('do something by the BMC and keep what passes, to report one that lies')
    .description(
      `Does one thing by the BMC and writes what passed between it and the server to a file of JSON lines, from the login on. No password is in it, nor what is made of one; the BMC's address and user only with --named. What goes wrong is recorded like what goes well.`,
    )
    .argument('<machine>', 'name or id')
    .argument('[verb]', `what to do: ${RECORDABLE.join(', ')}`, 'status')
    .requiredOption('-o, --output <file>', 'where the recording goes')
    .option('--named', "leave the BMC's address and user in it")
    .addHelpText('after', example('bareboat machine bmc record rack1-07 -o rack1-07.jsonl -- cycle'))
    .action(async (machine: string, verb: string, flags: { output: string; named?: boolean }) => {
      const operation = recordable(verb)
      const { bmc } = session.client().machines
      const request = { operation, ...(flags.named === true ? { named: true } : {}) }
      const recording = await bmc.record(machine, request, { signal: session.signal })
      const { path, sizeBytes } = await saveText(flags.output, recording)
      const exchanges = recording.trimEnd().split('\n').length - 2
      session.note(`"${path}": ${exchanges} exchanges, ${sizeBytes} bytes; look at it before you give it away`)
    })

function recordable(verb: string): Recordable {
  const found = RECORDABLE.find((each) => each === verb)
  if (found) return found
  throw new AppError('invalid', `Cannot record "${verb}": it is one of ${RECORDABLE.join(', ')}`)
}
