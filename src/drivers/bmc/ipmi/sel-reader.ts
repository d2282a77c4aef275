/** The system event log: read whole, and emptied when it was seen to be empty. */
import { poll } from '../../../base/clock.ts'
import { AppError, WireError } from '../../../base/errors.ts'
import type { BmcSel, SelEntry } from '../../../model/bmc.ts'
import { COMMANDS } from '../../../wire/ipmi/commands.ts'
import { COMPLETION } from '../../../wire/ipmi/completion.ts'
import type { Sdr } from '../../../wire/ipmi/sdr.ts'
import { FIRST_CLOCK_SECONDS, NO_TIME, parseSelEntry, type SelEntry as RawEntry } from '../../../wire/ipmi/sel.ts'
import { sensorTypeName, stateName } from '../../../wire/ipmi/sensor-names.ts'
import { NON_LINEAR, readingValue } from '../../../wire/ipmi/sensor-reading.ts'
import { FIRST_RECORD, LAST_RECORD, WHOLE_RECORD } from '../../../wire/ipmi/storage-commands.ts'
import { Silence } from './exchange.ts'
import { underReservation, unlessBusy, type Ask } from './records.ts'
import { CompletionError } from './session.ts'

/** More than any BMC has room for. */
const MAX_ENTRIES = 16_384
const CLEAR = { everyMs: 200, deadlineMs: 30_000 }

/** Entries that make no sense are said to be so, in their place. */
export async function readSel(ask: Ask, records: readonly Sdr[], signal?: AbortSignal): Promise<BmcSel> {
  const info = await unlessBusy(() => ask(COMMANDS.getSelInfo, undefined, signal), signal)
  const entries: SelEntry[] = []
  const seen = new Set<number>()
  for (let recordId = info.entryCount === 0 ? LAST_RECORD : FIRST_RECORD; recordId !== LAST_RECORD;) {
    if (seen.has(recordId)) throw new WireError('SEL', `entry ${recordId} comes after itself`)
    if (seen.size >= MAX_ENTRIES) throw new WireError('SEL', `more than ${MAX_ENTRIES} entries`)
    seen.add(recordId)
    // A whole entry needs no reservation (§31.5).
    const question = { reservation: 0, recordId, offset: 0, count: WHOLE_RECORD }
    try {
      const { nextRecordId, bytes } = await unlessBusy(() => ask(COMMANDS.getSelEntry, question, signal), signal)
      entries.push(describe(bytes, recordId, records))
      recordId = nextRecordId
    } catch (error) {
      // Somebody else emptied it meanwhile: what was read is what there is.
      if (!(error instanceof CompletionError) || error.completion !== COMPLETION.notPresent) throw error
      break
    }
  }
  return { entries, freeBytes: info.freeBytes, hasOverflowed: info.hasOverflowed }
}

/**
 * Empties the log. Most BMCs then log that they did.
 * @throws {AppError} `bad_peer` when it took the command and kept its entries
 */
export async function clearSel(ask: Ask, address: string, signal?: AbortSignal): Promise<void> {
  const before = await unlessBusy(() => ask(COMMANDS.getSelInfo, undefined, signal), signal)
  await underReservation(async () => {
    const reservation = before.takesReservations ? await ask(COMMANDS.reserveSel, undefined, signal) : 0
    try {
      if ((await ask(COMMANDS.clearSel, { reservation, step: 'start' }, signal)).isDone) return
      await poll(
        async () => ((await ask(COMMANDS.clearSel, { reservation, step: 'status' }, signal)).isDone ? true : undefined),
        { ...CLEAR, ...(signal ? { signal } : {}) },
      )
    } catch (error) {
      // The answer was lost: whether it was done is read next.
      if (!(error instanceof Silence)) throw error
    }
  })
  const after = await unlessBusy(() => ask(COMMANDS.getSelInfo, undefined, signal), signal)
  const isErased = after.lastEraseSeconds !== before.lastEraseSeconds || after.entryCount < before.entryCount
  if (after.entryCount > 1 && !isErased)
    throw new AppError(
      'bad_peer',
      `Cannot clear the event log of BMC "${address}": it took the command and still has ${after.entryCount} entries`,
    )
}

function describe(bytes: Uint8Array, recordId: number, records: readonly Sdr[]): SelEntry {
  let entry: RawEntry
  try {
    entry = parseSelEntry(bytes)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return { id: recordId, sensor: '', type: 'unreadable', event: error.message }
  }
  if (entry.kind === 'oem') {
    const time = entry.atSeconds === undefined ? {} : timeOf(entry.atSeconds)
    const type = `OEM record ${entry.type.toString(16).toUpperCase()}h`
    return { id: entry.recordId, ...time, sensor: '', type, event: entry.hex }
  }
  const sdr = records.find(
    (r) =>
      'number' in r && r.number === entry.sensor && r.owner === entry.generator && r.sensorType === entry.sensorType,
  )
  return {
    id: entry.recordId,
    ...timeOf(entry.atSeconds),
    sensor: sdr && 'name' in sdr ? sdr.name : `#${entry.sensor.toString(16).padStart(2, '0')}h`,
    type: sensorTypeName(entry.sensorType),
    event: stateName(entry.sensorType, entry.readingType, entry.offset),
    isAsserted: entry.isAsserted,
    ...(sdr?.kind === 'full' ? values(entry, sdr) : {}),
  }
}

function values(
  { reading, threshold }: Extract<RawEntry, { kind: 'event' }>,
  { analog, unit }: Extract<Sdr, { kind: 'full' }>,
): Pick<SelEntry, 'value' | 'threshold' | 'unit'> {
  if (!analog || analog.linearization >= NON_LINEAR || reading === undefined) return {}
  const value = readingValue(reading, analog)
  const limit = threshold === undefined ? undefined : readingValue(threshold, analog)
  return {
    ...(value === undefined ? {} : { value, unit }),
    ...(limit === undefined ? {} : { threshold: limit }),
  }
}

function timeOf(seconds: number): Pick<SelEntry, 'at' | 'sinceStartSeconds'> {
  if (seconds === NO_TIME) return {}
  return seconds < FIRST_CLOCK_SECONDS ? { sinceStartSeconds: seconds } : { at: seconds * 1000 }
}
