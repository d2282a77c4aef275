import { readFile } from 'node:fs/promises'
import { AppError, systemCode } from '../../../../base/errors.ts'
import type { BmcReplay } from '../../../../model/bmc.ts'
import { example, JSON_OPTION } from '../../../option.ts'
import { printable } from '../../../output/table.ts'
import type { Register } from '../../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('replay')
    .summary('what the driver concludes from a recording, step by step')
    .description(
      'Lets the driver do what was recorded once more, with the recording in the place of the BMC. Nothing is sent to any BMC.',
    )
    .argument('<file>', 'of machine bmc record')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat machine bmc replay rack1-07.jsonl'))
    .action(async (file: string, flags: { json?: boolean }) => {
      const replay = await session.client().machines.bmc.replay(await read(file), { signal: session.signal })
      if (flags.json === true) return session.printJson(replay)
      await session.printLines([
        `${replay.operation} over ${replay.protocol}, recorded ${new Date(replay.at).toISOString()} by ${printable(replay.release)}`,
        ...replay.steps.map((step, n) => `${String(n + 1).padStart(4)}  ${printable(step)}`),
        `then: ${told(replay.then)}`,
        ` now: ${told(replay.now)}`,
      ])
    })

function told({ value, error, isCut }: BmcReplay['then']): string {
  const what = error ? `${error.code}: ${error.message}` : value === null ? 'done' : JSON.stringify(value)
  return printable(`${what}${isCut === true ? ' (the recording was cut)' : ''}`)
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new AppError('invalid', `Cannot read "${file}": ${systemCode(cause) ?? String(cause)}`, { cause })
  }
}
