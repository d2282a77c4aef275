/** The DHCP packet: RFC 2131 §2, options as RFC 2132 and RFC 3396 have them. */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import { archName } from './client-arch.ts'
import { gatherOptions, optionItems, readOptions, type Options, type RawOptions } from './options.ts'
import { ipv4Bytes, readIpv4, text } from './value-codec.ts'

export interface Packet {
  readonly op: 'request' | 'reply'
  /** Hardware type, 1 is Ethernet (IANA "Hardware Types"). */
  readonly htype: number
  /** Hardware address, `hlen` bytes, 16 at most. */
  readonly chaddr: Uint8Array
  readonly hops: number
  readonly xid: number
  /** Seconds since the client began. */
  readonly secs: number
  /** The client cannot yet receive unicast (RFC 2131 §4.1). */
  readonly broadcast: boolean
  readonly ciaddr: string
  readonly yiaddr: string
  readonly siaddr: string
  readonly giaddr: string
  /** Empty where the field carries options (option 52). */
  readonly sname: string
  readonly file: string
  /** `overload` is never among them: it is about the packet's form, read and written here. */
  readonly options: Options
}

export const MAGIC_COOKIE = 0x63825363
/** A reply is never shorter: old BOOTP relays and clients drop less (RFC 951 §3, RFC 1542 §2.1). */
export const MIN_BYTES = 300
/** Payload of the 576-byte IP datagram that each client must take (RFC 2131 §2). */
export const DEFAULT_MAX_BYTES = 576 - 28

const WHAT = 'DHCP packet'
const BROADCAST_FLAG = 0x8000
const FILE_BYTES = 128
const SNAME_BYTES = 64

/**
 * Parses a UDP payload of port 67 or 68.
 * @throws {WireError} for BOOTP without options, and whatever else is not a well-formed DHCP packet
 */
export function parsePacket(bytes: Uint8Array): Packet {
  const reader = new Reader(bytes, WHAT)
  const op = reader.u8('op')
  if (op !== 1 && op !== 2) throw new WireError(WHAT, `op is ${op}, not 1 (request) or 2 (reply)`)
  const htype = reader.u8('htype')
  const hlen = reader.u8('hlen')
  if (hlen > 16) throw new WireError(WHAT, `hardware address of ${hlen} bytes, 16 at most`)
  const hops = reader.u8('hops')
  const xid = reader.u32('xid')
  const secs = reader.u16('secs')
  const flags = reader.u16('flags')
  const ciaddr = readIpv4(reader, 'ciaddr')
  const yiaddr = readIpv4(reader, 'yiaddr')
  const siaddr = readIpv4(reader, 'siaddr')
  const giaddr = readIpv4(reader, 'giaddr')
  const chaddr = reader.take(16, 'chaddr').slice(0, hlen)
  const snameField = reader.take(SNAME_BYTES, 'sname')
  const fileField = reader.take(FILE_BYTES, 'file')
  const cookie = reader.u32('magic cookie')
  if (cookie !== MAGIC_COOKIE) throw new WireError(WHAT, `magic cookie is ${cookie.toString(16)}, so it is not DHCP`)
  const { options, overload } = parseAll(reader.rest(), fileField, snameField)
  return {
    op: op === 1 ? 'request' : 'reply',
    htype,
    chaddr,
    hops,
    xid,
    secs,
    broadcast: (flags & BROADCAST_FLAG) !== 0,
    ciaddr,
    yiaddr,
    siaddr,
    giaddr,
    sname: overload & 2 ? '' : cText(snameField),
    file: overload & 1 ? '' : cText(fileField),
    options,
  }
}

/**
 * Serializes, at least MIN_BYTES long. Options that do not fit in `maxBytes` go into `file` and `sname`, where those are
 * empty, and option 52 says so.
 * @throws {RangeError} when they do not fit there either, or a value cannot be written
 */
export function serializePacket(packet: Packet, maxBytes = DEFAULT_MAX_BYTES): Uint8Array {
  const { main, file, sname } = layOut(packet, maxBytes)
  const writer = new Writer(MIN_BYTES)
    .u8(packet.op === 'request' ? 1 : 2)
    .u8(packet.htype)
    .u8(packet.chaddr.length)
    .u8(packet.hops)
    .u32(packet.xid)
    .u16(packet.secs)
    .u16(packet.broadcast ? BROADCAST_FLAG : 0)
  for (const address of [packet.ciaddr, packet.yiaddr, packet.siaddr, packet.giaddr]) writer.bytes(ipv4Bytes(address))
  writer.field(packet.chaddr, 16).field(sname, SNAME_BYTES).field(file, FILE_BYTES).u32(MAGIC_COOKIE).bytes(main)
  return writer.zeros(Math.max(0, MIN_BYTES - writer.length)).done()
}

/** The MAC as `52:54:00:12:34:56`, or the hardware address of another kind in the same manner. */
export function hardwareAddress(packet: Packet): string {
  return Array.from(packet.chaddr, (byte) => byte.toString(16).padStart(2, '0')).join(':')
}

/** One line for logs. Text that a client sent appears in it only as far as it is printable ASCII. */
export function describe(packet: Packet): string {
  const o = packet.options
  const parts = [
    o.messageType?.toUpperCase() ?? (packet.op === 'request' ? 'BOOTP request' : 'BOOTP reply'),
    `xid ${packet.xid.toString(16).padStart(8, '0')}`,
    hardwareAddress(packet) || 'no hardware address',
  ]
  for (const field of ['ciaddr', 'yiaddr', 'siaddr', 'giaddr'] as const)
    if (packet[field] !== '0.0.0.0') parts.push(`${field} ${packet[field]}`)
  if (o.requestedAddress) parts.push(`wants ${o.requestedAddress}`)
  if (o.serverId) parts.push(`server ${o.serverId}`)
  if (o.clientArch) parts.push(o.clientArch.map(archName).join(', '))
  if (o.vendorClass) parts.push(`class "${printable(o.vendorClass)}"`)
  if (o.ipxe) parts.push('iPXE')
  const file = packet.file || o.bootFileName
  if (file) parts.push(`file "${printable(file)}"`)
  if (o.message) parts.push(`"${printable(o.message)}"`)
  return parts.join(' ')
}

/** RFC 3396 §5: the parts of a value stand in the order options field, file, sname. */
function parseAll(field: Uint8Array, file: Uint8Array, sname: Uint8Array): { options: Options; overload: number } {
  const gathered: RawOptions = new Map()
  gatherOptions(field, gathered)
  const parts = gathered.get(52)
  gathered.delete(52)
  const overload = parts ? (parts[0]?.[0] ?? 0) : 0
  if (parts && (parts.length !== 1 || parts[0]!.length !== 1 || overload < 1 || overload > 3))
    throw new WireError(WHAT, 'option 52 (overload) is not 1, 2 or 3')
  if (overload & 1) gatherOptions(file, gathered, 'DHCP options in the file field')
  if (overload & 2) gatherOptions(sname, gathered, 'DHCP options in the sname field')
  gathered.delete(52)
  return { options: readOptions(gathered), overload }
}

/** Puts each option item into the first field that has room; the items of one code stay in order. */
function layOut(packet: Packet, maxBytes: number): { main: Uint8Array; file: Uint8Array; sname: Uint8Array } {
  const items = optionItems(packet.options)
  const total = items.reduce((sum, item) => sum + item.length, 1)
  const room = maxBytes - 240
  const [file, sname] = [fieldText(packet.file, FILE_BYTES), fieldText(packet.sname, SNAME_BYTES)]
  if (total <= room) return { main: ended(items), file, sname }
  const fields = [
    { bit: 0, left: room - 4, items: [] as Uint8Array[] },
    ...(packet.file === '' ? [{ bit: 1, left: FILE_BYTES - 1, items: [] as Uint8Array[] }] : []),
    ...(packet.sname === '' ? [{ bit: 2, left: SNAME_BYTES - 1, items: [] as Uint8Array[] }] : []),
  ]
  const firstField = new Map<number, number>()
  for (const item of items) {
    const code = item[0]!
    const at = fields.findIndex((field, index) => index >= (firstField.get(code) ?? 0) && field.left >= item.length)
    if (at < 0) throw new RangeError(`Cannot write DHCP packet: its options need more than ${maxBytes} bytes`)
    firstField.set(code, at)
    fields[at]!.left -= item.length
    fields[at]!.items.push(item)
  }
  const used = fields.filter((field) => field.items.length > 0)
  const overload = Uint8Array.of(
    52,
    1,
    used.reduce((bits, field) => bits | field.bit, 0),
  )
  const inField = (bit: number, otherwise: Uint8Array) => {
    const field = used.find((candidate) => candidate.bit === bit)
    return field ? ended(field.items) : otherwise
  }
  return {
    main: ended(overload[2] === 0 ? fields[0]!.items : [...fields[0]!.items, overload]),
    file: inField(1, file),
    sname: inField(2, sname),
  }
}

function ended(items: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer()
  for (const item of items) writer.bytes(item)
  return writer.u8(255).done()
}

function fieldText(value: string, width: number): Uint8Array {
  const bytes = text.write(value)
  if (bytes.length >= width)
    throw new RangeError(`Cannot write "${value}": ${bytes.length} bytes, ${width - 1} at most`)
  return bytes
}

function cText(field: Uint8Array): string {
  const end = field.indexOf(0)
  return text.read(end < 0 ? field : field.subarray(0, end), WHAT)
}

function printable(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, '?').slice(0, 200)
}
