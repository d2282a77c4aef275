import { example, JSON_OPTION } from '../../option.ts'
import { inventoryText } from '../../output/inventory.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('inventory')
    .summary("show what is known of a machine's hardware")
    .description(
      'Shows what the agent, or a BMC, last told of a machine: processors, memory, interfaces, disks and more.',
    )
    .argument('<machine>', 'name or id')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat machine inventory rack1-07'))
    .action(async (name: string, flags: { json?: boolean }) => {
      const inventories = await session.client().machines.inventories(name, { signal: session.signal })
      if (flags.json === true) await session.printJson(inventories)
      else if (inventories.length === 0) session.note(`Nobody has told of the hardware of ${name} yet`)
      else await session.print(inventories.map((each) => inventoryText(each, session.io.now())).join('\n'))
    })
