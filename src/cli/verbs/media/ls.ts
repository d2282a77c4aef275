import type { AttachedMedium, MachineDrive, MachineMedia } from '../../../model/media.ts'
import { example, FORMAT_OPTION, JSON_OPTION } from '../../option.ts'
import { humanDuration, humanSize } from '../../output/human.ts'
import { printList, type Column, type ListOptions } from '../../output/list.ts'
import { printable } from '../../output/table.ts'
import type { Register } from '../../verbs.ts'

interface Row extends MachineDrive {
  readonly medium: AttachedMedium | undefined
}

export const register: Register = (program, session) =>
  program
    .command('ls')
    .alias('list')
    .summary("list a machine's virtual drives and what they hold")
    .description('Asks the BMC what its virtual drives hold now, whoever has put it there.')
    .argument('<machine>', 'name or id')
    .option('-q, --quiet', 'ids of drives only')
    .option(...FORMAT_OPTION)
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat media ls rack1-07'))
    .action(async (machine: string, flags: ListOptions) => {
      const answer = await session.client().machines.media(machine, { signal: session.signal })
      if (flags.json === true) return session.printJson(answer)
      const rows = answer.drives.map((drive) => ({ ...drive, medium: drive.isOurs ? answer.medium : undefined }))
      await printList(session, rows, columns(session.io.now()), flags, ({ id }) => id)
      const note = missing(answer)
      if (note !== undefined) session.note(note)
    })

function columns(nowMs: number): Column<Row>[] {
  return [
    { field: 'Drive', heading: 'DRIVE', value: ({ id }) => printable(id) },
    { field: 'Plays', heading: 'PLAYS', value: ({ kinds }) => kinds.join(',') },
    { field: 'Holds', heading: 'HOLDS', value: ({ inserted }) => (inserted === undefined ? '-' : printable(inserted)) },
    { field: 'Of', heading: 'OF', value: ({ medium, inserted }) => of(medium, inserted) },
    { field: 'Mode', heading: 'MODE', value: ({ inserted, isWriteProtected }) => mode(inserted, isWriteProtected) },
    { field: 'Size', heading: 'SIZE', value: ({ medium }) => (medium ? humanSize(medium.sizeBytes) : '') },
    {
      field: 'Read',
      heading: 'READ',
      value: ({ medium }) => (medium ? (medium.readAt === undefined ? 'no' : 'yes') : ''),
    },
    {
      field: 'Expires',
      heading: 'EXPIRES',
      value: ({ medium }) => (medium ? `in ${humanDuration(medium.expiresAt - nowMs).toLowerCase()}` : ''),
    },
  ]
}

/** Who has put it there. */
function of(medium: AttachedMedium | undefined, inserted: string | undefined): string {
  if (inserted === undefined) return ''
  if (medium === undefined) return '(not of this server)'
  return medium.container === undefined ? medium.of : `${medium.of} of ${medium.container.slice(0, 12)}`
}

function mode(inserted: string | undefined, isWriteProtected: boolean | undefined): string {
  if (inserted === undefined || isWriteProtected === undefined) return ''
  return isWriteProtected ? 'ro' : 'rw'
}

/** What this server has attached and the BMC does not show. */
function missing({ drives, medium }: MachineMedia): string | undefined {
  if (medium === undefined || drives.some(({ isOurs }) => isOurs)) return undefined
  return `${medium.name} is ${medium.state}, and drive ${medium.drive} does not show it; some BMCs drop media when power changes`
}
