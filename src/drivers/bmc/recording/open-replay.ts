/** From a recording to the driver that it was made with, which then speaks to the recording and to nobody else. */
import { randomBytes } from 'node:crypto'
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { Recording } from '../../../formats/bmc-recording/recording.ts'
import type { BmcPort, BmcTap } from '../../../services/power/power-port.ts'
import { createIpmiBmc } from '../ipmi/ipmi-bmc.ts'
import { POWER_PATIENCE, type PowerPatience } from '../set-power.ts'
import { replaySessions } from './replay-ipmi.ts'

/** A deadline of a minute is over in 3 s. */
const HURRY = 20

/**
 * Opens the driver of a recording. Nothing is sent over a network, and pauses and deadlines are a twentieth of what they are in life.
 * @param tap is shown each exchange as it is played
 * @throws {AppError} `unsupported` for a protocol that cannot be played
 */
export function openReplay({ header, exchanges }: Recording, tap: BmcTap, log: Log): BmcPort {
  if (header.protocol !== 'ipmi')
    throw new AppError('unsupported', `Cannot replay a recording of "${header.protocol}": only "ipmi" can be played`)
  return createIpmiBmc({
    host: 'recording.invalid',
    user: 'recorded',
    password: randomBytes(8).toString('hex'),
    log,
    tap,
    open: replaySessions(exchanges),
    patience: hurried(POWER_PATIENCE),
    hurry: HURRY,
    paceMs: 0,
    fullWaitsMs: [0, 0, 0],
  })
}

function hurried(patience: PowerPatience): PowerPatience {
  const entries = Object.entries(patience).map(([name, ms]) => [name, ms / HURRY])
  return Object.fromEntries(entries) as unknown as PowerPatience
}
