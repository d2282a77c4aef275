/** Commands of the storage function: sensor data records, the system event log, FRU inventory (IPMI v2.0 rev 1.1 §31, §33, §34). */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import { command, nothing, oneByte, type Codec } from './command.ts'
import { NET_FN } from './message.ts'

/** "From here to the end" as a count of bytes, and the id after the last record. */
export const WHOLE_RECORD = 0xff
export const LAST_RECORD = 0xffff
export const FIRST_RECORD = 0x0000

export interface SdrRepositoryInfo {
  readonly recordCount: number
  /** Seconds of the BMC's clock; while both stay, so do the records. */
  readonly lastAddSeconds: number
  readonly lastEraseSeconds: number
}
export interface RecordRequest {
  readonly reservation: number
  readonly recordId: number
  readonly offset: number
  readonly count: number
}
export interface RecordPart {
  readonly nextRecordId: number
  readonly bytes: Uint8Array
}
export interface SelInfo {
  readonly entryCount: number
  readonly freeBytes: number
  /** Seconds of the BMC's clock (§37); 0xffffffff where it does not know. */
  readonly lastAddSeconds: number
  readonly lastEraseSeconds: number
  readonly hasOverflowed: boolean
  /** Whether Reserve SEL must come before a partial read or Clear. */
  readonly takesReservations: boolean
}
export interface FruArea {
  readonly sizeBytes: number
  /** Offsets and counts are in words of two bytes. */
  readonly isInWords: boolean
}

const sdrInfo: Codec<SdrRepositoryInfo> = {
  read(bytes) {
    const r = new Reader(bytes, 'SDR Repository Info')
    r.skip(1, 'version')
    const recordCount = r.u16le('record count')
    r.skip(2, 'free space')
    return { recordCount, lastAddSeconds: r.u32le('last addition'), lastEraseSeconds: r.u32le('last erase') }
  },
  write: (v) =>
    new Writer()
      .u8(0x51)
      .u16le(v.recordCount)
      .u16le(0)
      .u32le(v.lastAddSeconds)
      .u32le(v.lastEraseSeconds)
      .u8(0x02)
      .done(),
}

const reservation: Codec<number> = {
  read: (bytes) => new Reader(bytes, 'reservation').u16le('reservation'),
  write: (id) => new Writer().u16le(id).done(),
}

const recordRequest: Codec<RecordRequest> = {
  read(bytes) {
    const r = new Reader(bytes, 'record request')
    return {
      reservation: r.u16le('reservation'),
      recordId: r.u16le('record id'),
      offset: r.u8('offset'),
      count: r.u8('count'),
    }
  },
  write: (q) => new Writer().u16le(q.reservation).u16le(q.recordId).u8(q.offset).u8(q.count).done(),
}

const recordPart: Codec<RecordPart> = {
  read(bytes) {
    const r = new Reader(bytes, 'record')
    return { nextRecordId: r.u16le('next record id'), bytes: r.rest() }
  },
  write: (a) => new Writer().u16le(a.nextRecordId).bytes(a.bytes).done(),
}

const selInfo: Codec<SelInfo> = {
  read(bytes) {
    const r = new Reader(bytes, 'SEL Info')
    r.skip(1, 'version')
    const entryCount = r.u16le('entries')
    const freeBytes = r.u16le('free bytes')
    const lastAddSeconds = r.u32le('last addition')
    const lastEraseSeconds = r.u32le('last erase')
    const support = r.u8('operation support')
    return {
      entryCount,
      freeBytes,
      lastAddSeconds,
      lastEraseSeconds,
      hasOverflowed: (support & 0x80) !== 0,
      takesReservations: (support & 0x02) !== 0,
    }
  },
  write: (v) =>
    new Writer()
      .u8(0x51)
      .u16le(v.entryCount)
      .u16le(v.freeBytes)
      .u32le(v.lastAddSeconds)
      .u32le(v.lastEraseSeconds)
      .u8((v.hasOverflowed ? 0x80 : 0) | (v.takesReservations ? 0x02 : 0))
      .done(),
}

const CLEAR = { start: 0xaa, status: 0x00 } as const

/** `CLR`, and whether to begin or to ask how far it is (§31.9). */
const clearRequest: Codec<{ reservation: number; step: keyof typeof CLEAR }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Clear SEL')
    const id = r.u16le('reservation')
    if (r.latin1(3) !== 'CLR') throw new WireError('Clear SEL', 'it does not say CLR')
    return { reservation: id, step: r.u8('step') === CLEAR.start ? 'start' : 'status' }
  },
  write: (q) => new Writer().u16le(q.reservation).utf8('CLR').u8(CLEAR[q.step]).done(),
}
const clearAnswer: Codec<{ isDone: boolean }> = {
  read: (bytes) => ({ isDone: (new Reader(bytes, 'Clear SEL').u8('progress') & 0x0f) === 1 }),
  write: (a) => Uint8Array.of(a.isDone ? 1 : 0),
}

const selTime: Codec<number> = {
  read: (bytes) => new Reader(bytes, 'SEL time').u32le('time'),
  write: (seconds) => new Writer().u32le(seconds).done(),
}

const fruArea: Codec<FruArea> = {
  read(bytes) {
    const r = new Reader(bytes, 'FRU Inventory Area Info')
    return { sizeBytes: r.u16le('size'), isInWords: (r.u8('access') & 1) !== 0 }
  },
  write: (a) =>
    new Writer()
      .u16le(a.sizeBytes)
      .u8(a.isInWords ? 1 : 0)
      .done(),
}
const fruRequest: Codec<{ fruId: number; offset: number; count: number }> = {
  read(bytes) {
    const r = new Reader(bytes, 'Read FRU Data')
    return { fruId: r.u8('FRU id'), offset: r.u16le('offset'), count: r.u8('count') }
  },
  write: (q) => new Writer().u8(q.fruId).u16le(q.offset).u8(q.count).done(),
}
const fruPart: Codec<{ count: number; bytes: Uint8Array }> = {
  read(bytes) {
    const r = new Reader(bytes, 'FRU data')
    return { count: r.u8('count'), bytes: r.rest() }
  },
  write: (a) => Uint8Array.of(a.count, ...a.bytes),
}

const { storage } = NET_FN

export const STORAGE_COMMANDS = {
  getFruArea: command('Get FRU Inventory Area Info', storage, 0x10, 'user', true, '§34.1', oneByte('FRU id'), fruArea),
  readFru: command('Read FRU Data', storage, 0x11, 'user', true, '§34.2', fruRequest, fruPart),
  getSdrInfo: command('Get SDR Repository Info', storage, 0x20, 'user', true, '§33.9', nothing, sdrInfo),
  reserveSdr: command('Reserve SDR Repository', storage, 0x22, 'user', true, '§33.11', nothing, reservation),
  getSdr: command('Get SDR', storage, 0x23, 'user', true, '§33.12', recordRequest, recordPart),
  getSelInfo: command('Get SEL Info', storage, 0x40, 'user', true, '§31.2', nothing, selInfo),
  reserveSel: command('Reserve SEL', storage, 0x42, 'user', true, '§31.4', nothing, reservation),
  getSelEntry: command('Get SEL Entry', storage, 0x43, 'user', true, '§31.5', recordRequest, recordPart),
  // Said twice it would erase what came in between.
  clearSel: command('Clear SEL', storage, 0x47, 'operator', false, '§31.9', clearRequest, clearAnswer),
  getSelTime: command('Get SEL Time', storage, 0x48, 'user', true, '§31.10', nothing, selTime),
} as const
