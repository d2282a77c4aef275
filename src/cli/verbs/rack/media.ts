/** The drives of a rack's machine: what a hand at a real one does, who puts a CD in or pulls a stick. */
import { resolve } from 'node:path'
import { AppError } from '../../../base/errors.ts'
import { example, JSON_OPTION } from '../../option.ts'
import { oneOf } from '../../run/request.ts'
import type { Session } from '../../session.ts'
import type { Register } from '../../verbs.ts'
import { RACK_OPTION, rackPlace, STATE_DIR_OPTION, type PlaceFlags } from './place.ts'

interface Flags extends PlaceFlags {
  drive?: string
  writable?: boolean
  eject?: boolean
  json?: boolean
}

export const register: Register = (program, session) =>
  program
    .command('media')
    .summary("put a file or a URL into a drive of a rack's machine, or take it out")
    .argument('<rack-machine>', 'name of the machine')
    .argument('[source]', 'a file, or what an HTTP server has; without it the drives are shown')
    .option('--drive <kind>', 'cd or usb (default: cd for names that end in .iso, else usb)')
    .option('--writable', 'let the machine write to the file (USB stick only)')
    .option('--eject', 'take out what is in its drives, or in the one of --drive')
    .option(...RACK_OPTION)
    .option(...STATE_DIR_OPTION)
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat rack media rack-1 debian.iso', 'bareboat rack media rack-1 --eject'))
    .action((machine: string, source: string | undefined, flags: Flags) => act(session, machine, source, flags))

async function act(session: Session, machine: string, source: string | undefined, flags: Flags): Promise<void> {
  const { rackEject, rackInfo, rackInsert } = await import('../../../rack/rack.ts')
  const { DRIVES, driveFor } = await import('../../../rack/medium.ts')
  const place = rackPlace(session, flags)
  const wanted = oneOf('--drive', flags.drive, DRIVES)
  if (flags.eject === true) {
    if (source !== undefined)
      throw new AppError('invalid', `Cannot eject and insert "${source}" at once: give either of them`)
    for (const drive of wanted === undefined ? DRIVES : [wanted]) await rackEject(place, machine, drive)
  } else if (source !== undefined) {
    const isUrl = /^https?:\/\//i.test(source)
    await rackInsert(place, machine, {
      drive: wanted ?? driveFor(source),
      source: isUrl ? source : resolve(session.io.cwd, source),
      isWritable: flags.writable === true,
    })
  }
  const found = (await rackInfo(place)).machines.find(({ name }) => name === machine)
  if (found === undefined)
    throw new AppError('not_found', `Cannot show the drives of "${machine}": the rack has no such machine`)
  if (flags.json === true) return await session.printJson(found.media)
  await session.printLines(
    DRIVES.map((drive) => {
      const medium = found.media[drive]
      return `${drive.padEnd(4)}${medium === undefined ? '-' : medium.source}${medium?.isWritable ? ' (writable)' : ''}`
    }),
  )
}
