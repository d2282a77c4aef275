/** Volume descriptors of an ISO 9660 file system (ECMA-119 §8). */
import { Writer } from '../../base/bytes.ts'
import { AppError } from '../../base/errors.ts'
import { directoryRecord, FLAGS, SECTOR_BYTES, SELF, u16both, u32both } from './records.ts'

export interface VolumeFields {
  readonly label: string
  readonly totalSectors: number
  readonly tableBytes: number
  readonly littleTable: number
  readonly bigTable: number
  readonly root: { readonly lba: number; readonly sizeBytes: number }
  readonly madeAtSeconds: number
}

const LABEL = /^[A-Z0-9_-]{1,32}$/

/** @throws {AppError} invalid when it has other characters, or more than 32 */
export function isoLabel(label: string): string {
  if (!LABEL.test(label))
    throw new AppError(
      'invalid',
      `Cannot use "${label}" as the label of an ISO image: it is not 1 to 32 capital letters, digits, _ and -`,
    )
  return label
}

/** §8.4. */
export function primaryDescriptor(fields: VolumeFields): Uint8Array {
  const { label, totalSectors, tableBytes, littleTable, bigTable, root, madeAtSeconds } = fields
  const out = head(1).u8(0)
  text(out, '', 32)
  text(out, isoLabel(label), 32)
  out.zeros(8)
  u32both(out, totalSectors)
  out.zeros(32)
  u16both(out, 1)
  u16both(out, 1)
  u16both(out, SECTOR_BYTES)
  u32both(out, tableBytes)
  out.u32le(littleTable).u32le(0).u32(bigTable).u32(0)
  out.bytes(directoryRecord({ ...root, identifier: SELF, flags: FLAGS.directory, seconds: madeAtSeconds }))
  text(out, '', 128)
  text(out, '', 128)
  text(out, '', 128)
  text(out, 'BAREBOAT', 128)
  for (let file = 0; file < 3; file += 1) text(out, '', 37)
  const made = longTime(madeAtSeconds)
  out.bytes(made).bytes(made).bytes(NO_TIME).bytes(NO_TIME)
  return out.u8(1).align(SECTOR_BYTES).done()
}

/** El Torito 1.0 figure 7. */
export function bootDescriptor(catalogLba: number): Uint8Array {
  return head(0)
    .field(Buffer.from('EL TORITO SPECIFICATION'), 32)
    .zeros(32)
    .u32le(catalogLba)
    .align(SECTOR_BYTES)
    .done()
}

/** §8.3. */
export function terminator(): Uint8Array {
  return head(255).align(SECTOR_BYTES).done()
}

function head(type: number): Writer {
  return new Writer(SECTOR_BYTES).u8(type).utf8('CD001').u8(1)
}

function text(out: Writer, value: string, width: number): void {
  out.utf8(value.padEnd(width))
}

const NO_TIME = Buffer.from(`${'0'.repeat(16)}\0`, 'latin1')

/** §8.4.26.1, UTC. */
function longTime(seconds: number): Uint8Array {
  const digits = new Date(Math.max(seconds, 0) * 1000).toISOString().replace(/\D/g, '').slice(0, 14)
  return Buffer.from(`${digits}00\0`, 'latin1')
}
