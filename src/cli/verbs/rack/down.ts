import { AppError } from '../../../base/errors.ts'
import { example, JSON_OPTION } from '../../option.ts'
import type { Register } from '../../verbs.ts'
import { RACK_OPTION, rackPlace, STATE_DIR_OPTION, type PlaceFlags } from './place.ts'

export const register: Register = (program, session) =>
  program
    .command('down')
    .summary('end a rack: its machines, its network and its files')
    .option(...RACK_OPTION)
    .option(...STATE_DIR_OPTION)
    .option(...JSON_OPTION)
    .addHelpText('after', example('bareboat rack down'))
    .action(async (flags: PlaceFlags & { json?: boolean }) => {
      const { rackDown } = await import('../../../rack/rack.ts')
      const wasThere = await rackDown({ ...rackPlace(session, flags), signal: session.signal })
      if (!wasThere) throw new AppError('not_found', `Cannot end rack "${flags.rack}": there is none`)
      if (flags.json === true) await session.printJson({ removed: flags.rack })
      else await session.printLines([flags.rack])
    })
