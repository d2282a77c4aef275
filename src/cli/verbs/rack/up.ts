import { AppError } from '../../../base/errors.ts'
import { FIRMWARES } from '../../../rack/plan.ts'
import { collect, example, JSON_OPTION } from '../../option.ts'
import { defined, oneOf } from '../../run/request.ts'
import type { Register } from '../../verbs.ts'
import { printRacks } from './ls.ts'
import { RACK_OPTION, rackPlace, STATE_DIR_OPTION, type PlaceFlags } from './place.ts'

interface Flags extends PlaceFlags {
  machines?: string
  firmware: string[]
  memory?: string
  disk?: string
  nic?: string
  bmc?: string
  quiet?: boolean
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('up')
    .summary('set up a rack, or start what is missing of it')
    .option(...RACK_OPTION)
    .option(...STATE_DIR_OPTION)
    .option('-n, --machines <count>', 'how many machines (default: 2)')
    .option(
      '--firmware <kind>',
      'bios, uefi or uefi32 (UEFI of 32 bits); repeat it to give each machine its own',
      collect,
      [],
    )
    .option('--memory <MiB>', 'memory of each machine, MiB (default: 1024)')
    .option('--disk <MiB>', 'disk of each machine, MiB (default: none)')
    .option('--nic <kind>', 'virtio or e1000 (default: virtio)')
    .option('--bmc <kind>', 'which BMC of a machine to use: ipmi, http, redfish, pikvm, amt or wol (default: ipmi)')
    .option('-q, --quiet', 'do not show progress')
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat rack up -n 2 --firmware bios --firmware uefi'))
    .action(async (flags: Flags) => {
      const { rackUp } = await import('../../../rack/rack.ts')
      const firmware = flags.firmware.map((kind) => oneOf('--firmware', kind, FIRMWARES)!)
      const info = await rackUp({
        ...rackPlace(session, flags),
        ...defined({
          machines: count('--machines', flags.machines),
          firmware: firmware.length === 0 ? undefined : firmware.length === 1 ? firmware[0]! : firmware,
          memoryMiB: count('--memory', flags.memory),
          diskMiB: count('--disk', flags.disk),
          nic: oneOf('--nic', flags.nic, ['virtio', 'e1000'] as const),
          bmc: oneOf('--bmc', flags.bmc, ['ipmi', 'http', 'redfish', 'pikvm', 'amt', 'wol'] as const),
        }),
        progress: (step) => {
          if (flags.quiet !== true) session.note(step)
        },
        signal: session.signal,
      })
      if (flags.json === true) await session.printJson(info)
      else await printRacks(session, [info], {})
    })

function count(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,9}$/.test(text)) throw new AppError('invalid', `Cannot use ${option} "${text}": it is not a number`)
  return Number(text)
}
