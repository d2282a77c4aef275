/** Serial over LAN payload packets (IPMI v2.0 rev 1.1 §15.9 to §15.11, tables 15-2 and 15-3). */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

/** Most characters that one packet carries (§15.9: the accepted count is one byte). */
export const MAX_SOL_CHARACTERS = 255
const HEADER_BYTES = 4
const SEQUENCE_COUNT = 16

/** Operation bits, console to BMC (table 15-2). */
export const SOL_OPERATION = {
  nack: 0x40,
  ringWor: 0x20,
  break: 0x10,
  pauseCts: 0x08,
  dropDcd: 0x04,
  flushInbound: 0x02,
  flushOutbound: 0x01,
} as const

/** Status bits, BMC to console (table 15-3). */
export const SOL_STATUS = { nack: 0x40, unavailable: 0x20, deactivated: 0x10, overrun: 0x08, break: 0x04 } as const

/**
 * One packet, either way. `sequence` 0 carries no characters that want an acknowledgement; `acknowledges` 0 acknowledges nothing.
 * `flags` are SOL_OPERATION bits from the console, SOL_STATUS bits from the BMC.
 */
export interface SolPacket {
  readonly sequence: number
  readonly acknowledges: number
  /** How many characters of the acknowledged packet were taken. */
  readonly accepted: number
  readonly flags: number
  readonly characters: Uint8Array
}

/** @throws {WireError} when cut short or with more than 255 characters */
export function parseSol(bytes: Uint8Array): SolPacket {
  const r = new Reader(bytes, 'SOL packet')
  const sequence = r.u8('sequence') & 0x0f
  const acknowledges = r.u8('acknowledged sequence') & 0x0f
  const accepted = r.u8('accepted count')
  const flags = r.u8('status')
  if (r.left > MAX_SOL_CHARACTERS)
    throw new WireError('SOL packet', `${r.left} characters, more than ${MAX_SOL_CHARACTERS}`)
  return { sequence, acknowledges, accepted, flags, characters: r.rest() }
}

export function serializeSol(p: SolPacket): Uint8Array {
  return new Writer(HEADER_BYTES + p.characters.length)
    .u8(p.sequence)
    .u8(p.acknowledges)
    .u8(p.accepted)
    .u8(p.flags)
    .bytes(p.characters)
    .done()
}

/** The sequence number after `sequence`: 1 to 15, never 0 (§15.11). */
export function nextSolSequence(sequence: number): number {
  return (sequence % (SEQUENCE_COUNT - 1)) + 1
}

/** One line for a log; characters are counted, not shown. */
export function describeSol(p: SolPacket): string {
  return `SOL ${p.sequence}, ${p.characters.length} characters, acknowledges ${p.acknowledges} (${p.accepted}), flags 0x${p.flags.toString(16)}`
}
