/** The shapes that DHCP option values take (RFC 2132 §2 to §9), each a pair that is inverse by test. */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

/** Reads the whole of an option's value, and writes it. `what` names the option in errors. */
export interface ValueCodec<T> {
  /** @throws {WireError} when the value has a size or content that its option cannot have */
  read(bytes: Uint8Array, what: string): T
  write(value: T): Uint8Array
}

/** DHCP message types: RFC 2132 §9.6, RFC 3203, RFC 4388 §6.1, RFC 6926 §6.1, RFC 7724 §5.2.1. Index 0 is not assigned. */
export const MESSAGE_TYPES = [
  undefined,
  'discover',
  'offer',
  'request',
  'decline',
  'ack',
  'nak',
  'release',
  'inform',
  'forcerenew',
  'leasequery',
  'leaseunassigned',
  'leaseunknown',
  'leaseactive',
  'bulkleasequery',
  'leasequerydone',
  'activeleasequery',
  'leasequerystatus',
  'tls',
] as const
export type MessageType = Exclude<(typeof MESSAGE_TYPES)[number], undefined>

/** A dotted IPv4 address. @throws {WireError} when fewer than 4 bytes are left in the reader */
export function readIpv4(reader: Reader, field: string): string {
  const b = reader.take(4, field)
  return `${b[0]}.${b[1]}.${b[2]}.${b[3]}`
}

/** @throws {RangeError} when the text is not four numbers 0 to 255 with dots between them */
export function ipv4Bytes(address: string): Uint8Array {
  const parts = address.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255))
    throw new RangeError(`Cannot write "${address}" as an IPv4 address`)
  return Uint8Array.from(parts, Number)
}

export const u8 = integer(1)
export const u16 = integer(2)
export const u32 = integer(4)

/** One IPv4 address. */
export const ip: ValueCodec<string> = {
  read: (bytes, what) => readIpv4(sized(bytes, 4, what), 'address'),
  write: ipv4Bytes,
}

/** One IPv4 address or several. */
export const ips: ValueCodec<string[]> = {
  read: (bytes, what) => list(bytes, 4, what, (reader) => readIpv4(reader, 'address')),
  write: (value) => Uint8Array.from(value.flatMap((address) => [...ipv4Bytes(address)])),
}

/** One 16-bit number or several. */
export const u16s: ValueCodec<number[]> = {
  read: (bytes, what) => list(bytes, 2, what, (reader) => reader.u16()),
  write: (value) => {
    const writer = new Writer(value.length * 2)
    for (const item of value) writer.u16(item)
    return writer.done()
  },
}

/** Text of bytes 0 to 255 (ISO 8859-1), without the NULs that some firmware adds at its end (docs/hardware.md). */
export const text: ValueCodec<string> = {
  read: (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1').replace(/\0+$/, ''),
  write: (value) => {
    for (let i = 0; i < value.length; i++)
      if (value.charCodeAt(i) > 255) throw new RangeError(`Cannot write "${value}" in a DHCP packet: not ISO 8859-1`)
    return Uint8Array.from(value, (c) => c.charCodeAt(0))
  },
}

/** Bytes as they are. */
export const raw: ValueCodec<Uint8Array> = { read: (bytes) => bytes.slice(), write: (value) => value }

/** An option that says all by being there (RFC 4039 §4). */
export const presence: ValueCodec<true> = {
  read: (bytes, what) => {
    sized(bytes, 0, what)
    return true
  },
  write: () => new Uint8Array(),
}

export const messageType: ValueCodec<MessageType> = {
  read: (bytes, what) => {
    const code = u8.read(bytes, what)
    const name = MESSAGE_TYPES[code]
    if (!name) throw new WireError(what, `message type ${code} is not assigned`)
    return name
  },
  write: (value) => Uint8Array.of(MESSAGE_TYPES.indexOf(value)),
}

/** A machine's UUID as option 97 carries it: type 0 and 16 bytes (RFC 4578 §2.3); text in the usual order of SMBIOS. */
export const clientUuid: ValueCodec<string> = {
  read: (bytes, what) => {
    const reader = sized(bytes, 17, what)
    const type = reader.u8()
    if (type !== 0) throw new WireError(what, `type ${type}, only 0 (a GUID) is defined`)
    const [a, b, c] = [reader.u32le(), reader.u16le(), reader.u16le()]
    const tail = reader.rest().toHex()
    const head = [a.toString(16).padStart(8, '0'), b.toString(16).padStart(4, '0'), c.toString(16).padStart(4, '0')]
    return [...head, tail.slice(0, 4), tail.slice(4)].join('-')
  },
  write: (value) => {
    const [a, b, c, d, e] = value.split('-')
    if (!/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(value)) throw new RangeError(`"${value}" is not a UUID`)
    const writer = new Writer(17)
      .u8(0)
      .u32le(Number(`0x${a}`))
      .u16le(Number(`0x${b}`))
      .u16le(Number(`0x${c}`))
    return writer.bytes(Uint8Array.fromHex(`${d}${e}`)).done()
  },
}

function integer(size: 1 | 2 | 4): ValueCodec<number> {
  return {
    read: (bytes, what) => {
      const reader = sized(bytes, size, what)
      return size === 1 ? reader.u8() : size === 2 ? reader.u16() : reader.u32()
    },
    write: (value) => {
      if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * size))
        throw new RangeError(`Cannot write ${value} in ${size} bytes`)
      const writer = new Writer(size)
      return (size === 1 ? writer.u8(value) : size === 2 ? writer.u16(value) : writer.u32(value)).done()
    },
  }
}

function list<T>(bytes: Uint8Array, size: number, what: string, item: (reader: Reader) => T): T[] {
  if (bytes.length === 0 || bytes.length % size !== 0)
    throw new WireError(what, `${bytes.length} bytes are not a list of items of ${size}`)
  const reader = new Reader(bytes, what)
  return Array.from({ length: bytes.length / size }, () => item(reader))
}

function sized(bytes: Uint8Array, size: number, what: string): Reader {
  if (bytes.length !== size) throw new WireError(what, `${size} bytes needed, ${bytes.length} given`)
  return new Reader(bytes, what)
}
