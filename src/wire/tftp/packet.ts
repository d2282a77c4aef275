/** TFTP packets: RFC 1350 §5; options RFC 2347, blksize RFC 2348, tsize and timeout RFC 2349, windowsize RFC 7440. */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

/** Option values by lower-case name, in the order of the packet. */
export type TftpOptions = ReadonlyMap<string, string>

export type TftpPacket =
  | { readonly op: 'rrq' | 'wrq'; readonly name: string; readonly mode: string; readonly options: TftpOptions }
  | { readonly op: 'data'; readonly block: number; readonly bytes: Uint8Array }
  | { readonly op: 'ack'; readonly block: number }
  | { readonly op: 'error'; readonly code: number; readonly message: string }
  | { readonly op: 'oack'; readonly options: TftpOptions }

/** RFC 1350 §5, RFC 2347 (8). */
export const TFTP_ERROR = {
  other: 0,
  notFound: 1,
  accessViolation: 2,
  illegalOperation: 4,
  optionsRefused: 8,
} as const

const WHAT = 'TFTP packet'
/** Requests end at 512 bytes (RFC 2347); iPXE sends URLs of this size as names, so the bound is on the fields. */
const MAX_NAME_BYTES = 512
const MAX_OPTION_BYTES = 255
const MAX_OPTIONS = 16
const MAX_MESSAGE_BYTES = 1024

/**
 * Parses one UDP payload.
 * NULs after a request's last field are let pass (docs/hardware.md), and an error message without its NUL.
 * @throws {WireError} when it is not a TFTP packet
 */
export function parseTftp(bytes: Uint8Array): TftpPacket {
  const reader = new Reader(bytes, WHAT)
  const code = reader.u16('opcode')
  switch (code) {
    case 1:
    case 2: {
      const name = textUntilNul(reader, MAX_NAME_BYTES, 'file name')
      const mode = textUntilNul(reader, 16, 'mode').toLowerCase()
      return { op: code === 1 ? 'rrq' : 'wrq', name, mode, options: readOptions(reader) }
    }
    case 3:
      return { op: 'data', block: reader.u16('block'), bytes: reader.rest().slice() }
    case 4:
      return { op: 'ack', block: reader.u16('block') }
    case 5: {
      const error = reader.u16('error code')
      const text = reader.take(Math.min(reader.left, MAX_MESSAGE_BYTES), 'message')
      const end = text.indexOf(0)
      return { op: 'error', code: error, message: toText(end < 0 ? text : text.subarray(0, end)) }
    }
    case 6:
      return { op: 'oack', options: readOptions(reader) }
    default:
      throw new WireError(WHAT, `opcode ${code} is not one of 1 to 6`)
  }
}

/** @throws {RangeError} when a text has a NUL in it */
export function serializeTftp(packet: TftpPacket): Uint8Array {
  switch (packet.op) {
    case 'rrq':
    case 'wrq': {
      const writer = new Writer().u16(packet.op === 'rrq' ? 1 : 2)
      for (const text of [packet.name, packet.mode]) writer.bytes(cText(text))
      return writeOptions(writer, packet.options)
    }
    case 'data':
      return new Writer(packet.bytes.length + 4).u16(3).u16(packet.block).bytes(packet.bytes).done()
    case 'ack':
      return new Writer(4).u16(4).u16(packet.block).done()
    case 'error':
      return new Writer().u16(5).u16(packet.code).bytes(cText(packet.message)).done()
    case 'oack':
      return writeOptions(new Writer().u16(6), packet.options)
    default:
      packet satisfies never
      throw new RangeError('not a TFTP packet')
  }
}

/** One line for logs; what a client sent appears only as far as it is printable ASCII. */
export function describeTftp(packet: TftpPacket): string {
  switch (packet.op) {
    case 'rrq':
    case 'wrq':
      return `${packet.op} "${printable(packet.name)}" ${printable(packet.mode)}${optionText(packet.options)}`
    case 'data':
      return `data ${packet.block} (${packet.bytes.length} bytes)`
    case 'ack':
      return `ack ${packet.block}`
    case 'error':
      return `error ${packet.code} "${printable(packet.message)}"`
    case 'oack':
      return `oack${optionText(packet.options)}`
    default:
      return packet satisfies never
  }
}

function readOptions(reader: Reader): TftpOptions {
  const options = new Map<string, string>()
  while (reader.left > 0) {
    const name = textUntilNul(reader, MAX_OPTION_BYTES, 'option name').toLowerCase()
    if (name === '') break
    const value = textUntilNul(reader, MAX_OPTION_BYTES, `value of option "${printable(name)}"`)
    // RFC 2347: an option appears once; the first counts.
    if (!options.has(name)) options.set(name, value)
    if (options.size > MAX_OPTIONS) throw new WireError(WHAT, `more than ${MAX_OPTIONS} options`)
  }
  return options
}

function writeOptions(writer: Writer, options: TftpOptions): Uint8Array {
  for (const [name, value] of options) writer.bytes(cText(name)).bytes(cText(value))
  return writer.done()
}

function textUntilNul(reader: Reader, max: number, field: string): string {
  return toText(reader.untilNul(max, field))
}

function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}

function cText(text: string): Uint8Array {
  if (text.includes('\0')) throw new RangeError('Cannot write a text with a NUL in it')
  return Buffer.from(`${text}\0`, 'latin1')
}

function optionText(options: TftpOptions): string {
  return [...options].map(([name, value]) => ` ${printable(name)}=${printable(value)}`).join('')
}

function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?')
}
