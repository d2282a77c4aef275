import type { RackInfo, RackMachine } from '../../../rack/info.ts'
import { example, FORMAT_OPTION, JSON_OPTION } from '../../option.ts'
import { printList, type Column, type ListOptions } from '../../output/list.ts'
import type { Session } from '../../session.ts'
import type { Register } from '../../verbs.ts'
import { rackDir, STATE_DIR_OPTION } from './place.ts'

interface Row extends RackMachine {
  readonly rack: string
}

export const register: Register = (program, session) =>
  program
    .command('ls')
    .alias('list')
    .summary('list the machines of all racks')
    .option(...STATE_DIR_OPTION)
    .option('-q, --quiet', 'names only')
    .option(...FORMAT_OPTION)
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat rack ls'))
    .action(async (flags: ListOptions & { stateDir?: string }) => {
      const { rackList } = await import('../../../rack/rack.ts')
      const racks = await rackList({ stateDir: rackDir(session, flags.stateDir) })
      if (flags.json === true) await session.printJson(racks)
      else await printRacks(session, racks, flags)
    })

export async function printRacks(session: Session, racks: readonly RackInfo[], flags: ListOptions): Promise<void> {
  const rows = racks.flatMap((rack) => rack.machines.map((machine) => ({ ...machine, rack: rack.name })))
  await printList(session, rows, COLUMNS, flags, ({ name }) => name)
}

const COLUMNS: readonly Column<Row>[] = [
  { field: 'Rack', heading: 'RACK', value: ({ rack }) => rack },
  { field: 'Name', heading: 'NAME', value: ({ name }) => name },
  { field: 'State', heading: 'STATE', value: ({ state }) => state },
  { field: 'Firmware', heading: 'FIRMWARE', value: ({ firmware }) => firmware },
  { field: 'Memory', heading: 'MEMORY', value: ({ memoryMiB }) => `${memoryMiB}MiB` },
  { field: 'MAC', heading: 'MAC', value: ({ mac }) => mac },
  { field: 'BMC', heading: 'BMC', value: ({ bmc }) => bmc },
  { field: 'ConsoleLog', heading: 'CONSOLE LOG', value: ({ consoleLog }) => consoleLog, hidden: true },
]
