/** The sensor data records of a BMC, read once and kept for as long as the BMC says that they are the same. */
import { WireError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import { COMMANDS } from '../../../wire/ipmi/commands.ts'
import { MAX_SDR_BYTES, parseSdr, parseSdrHeader, SDR_HEADER_BYTES, type Sdr } from '../../../wire/ipmi/sdr.ts'
import { FIRST_RECORD, LAST_RECORD } from '../../../wire/ipmi/storage-commands.ts'
import { readPortions, underReservation, type Ask, type Portion } from './records.ts'

/** A large blade chassis has some 500. */
const MAX_RECORDS = 4096

export type SdrReader = (signal?: AbortSignal) => Promise<readonly Sdr[]>

export function createSdrReader(ask: Ask, portion: Portion, log: Log): SdrReader {
  let kept: { readonly key: string; readonly records: readonly Sdr[] } | undefined
  return async (signal) => {
    const info = await ask(COMMANDS.getSdrInfo, undefined, signal)
    const key = `${info.recordCount} ${info.lastAddSeconds} ${info.lastEraseSeconds}`
    if (kept?.key !== key) kept = { key, records: await underReservation(() => readAll(ask, portion, log, signal)) }
    return kept.records
  }
}

async function readAll(ask: Ask, portion: Portion, log: Log, signal?: AbortSignal): Promise<Sdr[]> {
  const reservation = await ask(COMMANDS.reserveSdr, undefined, signal)
  const records: Sdr[] = []
  const seen = new Set<number>()
  for (let recordId = FIRST_RECORD; recordId !== LAST_RECORD;) {
    if (seen.has(recordId)) throw new WireError('SDR repository', `record ${recordId} comes after itself`)
    if (seen.size >= MAX_RECORDS) throw new WireError('SDR repository', `more than ${MAX_RECORDS} records`)
    seen.add(recordId)
    const read = async (offset: number, count: number) => {
      const part = await ask(COMMANDS.getSdr, { reservation, recordId: current, offset, count }, signal)
      next = part.nextRecordId
      return part.bytes
    }
    const current = recordId
    let next = LAST_RECORD
    const header = await readPortions(portion, 'SDR', { from: 0, to: SDR_HEADER_BYTES }, read)
    const to = Math.min(MAX_SDR_BYTES, SDR_HEADER_BYTES + parseSdrHeader(header).length)
    const body = await readPortions(portion, 'SDR', { from: SDR_HEADER_BYTES, to }, read)
    try {
      records.push(parseSdr(Buffer.concat([header, body])))
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      log.debug('sensor record ignored', { recordId, why: error.message })
    }
    recordId = next
  }
  return records
}
