/** Mains power of a rack's machine: what a hand at the plug does to a real one. */
import type { Command } from 'commander'
import { example, JSON_OPTION } from '../../option.ts'
import { forEachName, type Session } from '../../session.ts'
import { RACK_OPTION, rackPlace, STATE_DIR_OPTION, type PlaceFlags } from './place.ts'

const WHAT = {
  plug: 'give mains power back: the BMC starts, the machine stays off',
  unplug: 'take mains power away: the machine and its BMC die at once',
} as const

export function registerMains(rack: Command, session: Session, action: keyof typeof WHAT): void {
  rack
    .command(action)
    .summary(WHAT[action])
    .argument('<rack-machines...>', 'names of machines')
    .option(...RACK_OPTION)
    .option(...STATE_DIR_OPTION)
    .option(...JSON_OPTION)
    .addHelpText('after', example(`bareboat rack ${action} rack-1`))
    .action(async (names: string[], flags: PlaceFlags & { json?: boolean }) => {
      const { rackPlug, rackUnplug } = await import('../../../rack/rack.ts')
      const act = action === 'plug' ? rackPlug : rackUnplug
      await forEachName(session, names, async (name) => {
        await act(rackPlace(session, flags), name)
        await session.printLines([flags.json === true ? JSON.stringify({ machine: name, action }) : name])
      })
    })
}
