/** From a recording to the driver that it was made with, which then speaks to the recording and to nobody else. */
import { randomBytes } from 'node:crypto'
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import type { Exchanged, Recording } from '../../../formats/bmc-recording/recording.ts'
import type { BmcPort, BmcTap } from '../../../services/power/power-port.ts'
import { createAmtBmc } from '../amt/amt-bmc.ts'
import { createHttpBmc } from '../http/http-bmc.ts'
import { createIpmiBmc } from '../ipmi/ipmi-bmc.ts'
import { createPikvmBmc } from '../pikvm/pikvm-bmc.ts'
import { createRedfishBmc } from '../redfish/redfish-bmc.ts'
import { POWER_PATIENCE, type PowerPatience } from '../set-power.ts'
import { observeAs } from './http-tap.ts'
import { replayHttp } from './replay-http.ts'
import { replaySessions } from './replay-ipmi.ts'
import { replayWsman } from './replay-wsman.ts'

const HOST = 'recording.invalid'
/** A deadline of a minute is over in 3 s. */
const HURRY = 20

/**
 * Opens the driver of a recording. Nothing is sent over a network, and pauses and deadlines are a twentieth of what they are in life.
 * @param tap is shown each exchange as it is played
 * @throws {AppError} `unsupported` for a protocol that cannot be played
 */
export function openReplay({ header, exchanges }: Recording, tap: BmcTap, log: Log): BmcPort {
  const user = 'recorded'
  const password = randomBytes(8).toString('hex')
  const patience = hurried(POWER_PATIENCE)
  const web = { log, patience, observe: observeAs(tap), play: replayHttp(exchanges) }
  switch (header.protocol) {
    case 'ipmi':
      return createIpmiBmc({
        host: HOST,
        user,
        password,
        log,
        tap,
        open: replaySessions(exchanges),
        patience,
        hurry: HURRY,
        paceMs: 0,
        fullWaitsMs: [0, 0, 0],
      })
    case 'redfish':
    case 'redfish+http':
      return createRedfishBmc({
        ...web,
        origin: `https://${HOST}`,
        user,
        password,
        system: onlySystem(exchanges),
        paceMs: 0,
        backOffMs: 250 / HURRY,
      })
    case 'pikvm':
      return createPikvmBmc({ ...web, host: HOST, port: 443, user, password })
    case 'http':
    case 'https':
      return createHttpBmc({ ...web, url: baseOf(header.protocol, exchanges) })
    case 'amt':
    case 'amts':
      return createAmtBmc({ ...web, play: replayWsman(exchanges), host: HOST, user, password, busyMs: 250 / HURRY })
    default:
      throw new AppError(
        'unsupported',
        `Cannot replay a recording of "${header.protocol}": this version plays ipmi, redfish, amt, pikvm and the HTTP power API`,
      )
  }
}

/** Which of several systems it was of, which its URL had said: the one that was read. */
function onlySystem(exchanges: readonly Exchanged[]): string | undefined {
  const paths = exchanges.flatMap((each) => (each.is === 'http' && each.method === 'GET' ? [each.path] : []))
  const ids = new Set(paths.flatMap((path) => /^\/redfish\/v1\/Systems\/([^/?]+)\/?$/.exec(path)?.[1] ?? []))
  return ids.size === 1 ? [...ids][0] : undefined
}

/** The URL of the power API, whose status is asked for whatever is done. */
function baseOf(protocol: string, exchanges: readonly Exchanged[]): string {
  const path = exchanges.flatMap((each) => (each.is === 'http' ? (/^(.*)\/status$/.exec(each.path)?.[1] ?? []) : []))[0]
  return `${protocol}://${HOST}${path ?? ''}`
}

function hurried(patience: PowerPatience): PowerPatience {
  const entries = Object.entries(patience).map(([name, ms]) => [name, ms / HURRY])
  return Object.fromEntries(entries) as unknown as PowerPatience
}
