import { addressOf } from '../../../model/addresses.ts'
import type { Machine } from '../../../model/machine.ts'
import { example, FORMAT_OPTION, JSON_OPTION } from '../../option.ts'
import { printList, type Column, type ListOptions } from '../../output/list.ts'
import type { Register } from '../../verbs.ts'

export const register: Register = (program, session) =>
  program
    .command('ls')
    .alias('list')
    .summary('list machines')
    .option('-q, --quiet', 'names only')
    .option(...FORMAT_OPTION)
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat machine ls'))
    .action(async (flags: ListOptions) => {
      const machines = await session.client().machines.list({ signal: session.signal })
      await printList(
        session,
        machines.toSorted((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true })),
        COLUMNS,
        flags,
        ({ name }) => name,
      )
    })

const COLUMNS: readonly Column<Machine>[] = [
  { field: 'Name', heading: 'NAME', value: ({ name }) => name },
  { field: 'Status', heading: 'STATUS', value: statusText },
  { field: 'Arch', heading: 'ARCH', value: ({ arch }) => arch },
  { field: 'Rank', heading: 'RANK', value: ({ rank }) => String(rank) },
  { field: 'Groups', heading: 'GROUPS', value: ({ groups }) => groups.join(',') },
  { field: 'MAC', heading: 'MAC', value: ({ macs }) => macs[0] ?? '' },
  {
    field: 'IP',
    heading: 'IP',
    value: (machine) => addressOf(machine, machine.macs[0] ?? '') ?? machine.leasedIp ?? '',
  },
  { field: 'BMC', heading: 'BMC', value: ({ bmc }) => bmc ?? '' },
  { field: 'ID', heading: 'ID', value: ({ id }) => id, hidden: true },
  { field: 'Xname', heading: 'XNAME', value: ({ xname }) => xname ?? '', hidden: true },
  { field: 'Nid', heading: 'NID', value: ({ nid }) => (nid === undefined ? '' : String(nid)), hidden: true },
  { field: 'Role', heading: 'ROLE', value: ({ role }) => role ?? 'Compute', hidden: true },
  { field: 'UUID', heading: 'UUID', value: ({ uuid }) => uuid ?? '', hidden: true },
  {
    field: 'Memory',
    heading: 'MEMORY',
    value: ({ memoryMiB }) => (memoryMiB === undefined ? '' : `${memoryMiB}MiB`),
    hidden: true,
  },
  { field: 'Container', heading: 'CONTAINER', value: ({ containerId }) => containerId ?? '', hidden: true },
]

function statusText({ containerId, enabled, admission, cordoned }: Machine): string {
  const cordon = cordoned ? ', cordoned' : ''
  if (containerId !== undefined) return `in use (${containerId.slice(0, 12)})${cordon}`
  if (!enabled) return 'disabled'
  return admission === 'accepted' ? (cordoned ? 'cordoned' : 'free') : admission
}
