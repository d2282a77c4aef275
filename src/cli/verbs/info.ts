import { describeEndpoint } from '../../client/endpoint.ts'
import { example, JSON_OPTION } from '../option.ts'
import { formatTable } from '../output/table.ts'
import type { Register } from '../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('info')
    .summary('show the state of the server')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat info'))
    .action(async (flags: { json?: boolean }) => {
      const client = session.client()
      const info = await client.system({ signal: session.signal })
      if (flags.json === true) return session.printJson(info)
      const { problems, interface: networkInterface = '-', address = '-', kit = 'none' } = info
      const rows = [
        ['Server:', describeEndpoint(client.endpoint)],
        ['Version:', `${info.version} (Node ${info.node})`],
        ['Interface:', networkInterface],
        ['Address:', address],
        ['Data:', info.dataDir],
        ['Machines:', String(info.machines)],
        ['Containers:', String(info.containers)],
        ['Images:', String(info.images)],
        ['Kit:', kit],
        ['Problems:', problems.length === 0 ? 'none' : String(problems.length)],
      ]
      await session.print(formatTable(rows, { minimum: 0, gap: 2 }))
      await session.printLines(problems.map((problem) => `  ${session.paint('yellow', problem)}`))
    })
