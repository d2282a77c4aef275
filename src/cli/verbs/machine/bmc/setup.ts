import type { BmcSetupAnswer, BmcSetupRequest } from '../../../../model/bmc.ts'
import { example, JSON_OPTION } from '../../../option.ts'
import type { Register } from '../../../verbs.ts'

interface Flags {
  user?: string
  privilege?: string
  rotate?: boolean
  replace?: boolean
  json?: boolean
}

const SAYS: Readonly<Record<BmcSetupAnswer['outcome'], string>> = {
  created: 'was made',
  rotated: 'has a new password',
  mended: 'is as it should be again',
  unchanged: 'is there already',
}

export const register: Register = (program, session) =>
  program
    .command('setup')
    .summary('make a user of the BMC from inside the machine')
    .description(
      "Has the agent of a machine make a user of its BMC with a random password, which only the server keeps, and sets the machine's BMC URL once a login over the network was seen to work. Nobody else's user is touched. Done again it changes nothing.",
    )
    .argument('<machine>', 'name or id')
    .option('--user <name>', 'name of the user (default: bareboat)')
    .option('--privilege <level>', 'operator or administrator (default: administrator)')
    .option('--rotate', 'give the user that was set up before a new password')
    .option('--replace', 'in place of the BMC URL and password that the machine has')
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      example('bareboat machine bmc setup rack1-07', 'bareboat machine bmc setup --rotate rack1-07'),
    )
    .action(async (machine: string, { json, ...flags }: Flags) => {
      const request = flags as Partial<BmcSetupRequest>
      const answer = await session.client().machines.bmc.setup(machine, request, { signal: session.signal })
      if (json === true) return session.printJson(answer)
      session.note(`User "${answer.user}" (${answer.userId}, ${answer.privilege}) ${SAYS[answer.outcome]}`)
      await session.printLines([answer.bmc])
    })
