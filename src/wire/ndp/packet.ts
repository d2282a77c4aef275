/** Router Solicitation and Router Advertisement: RFC 4861 §4.1, §4.2, §4.6. The ICMPv6 checksum is the kernel's. */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

export interface PrefixInformation {
  /** 16 bytes. */
  readonly prefix: Uint8Array
  readonly prefixBits: number
  readonly isOnLink: boolean
  /** Hosts may make themselves an address from it. */
  readonly isAutonomous: boolean
  readonly validSeconds: number
  readonly preferredSeconds: number
}

export type NdpPacket =
  | { readonly type: 'solicitation'; readonly sourceMac?: Uint8Array }
  | {
      readonly type: 'advertisement'
      /** 0: hosts choose. */
      readonly hopLimit: number
      /** Addresses are to be had by DHCPv6. */
      readonly isManaged: boolean
      /** Other settings are to be had by DHCPv6. */
      readonly hasOther: boolean
      /** 0: not a default router. */
      readonly routerSeconds: number
      readonly reachableMs: number
      readonly retransmitMs: number
      readonly sourceMac?: Uint8Array
      readonly mtu?: number
      readonly prefixes: readonly PrefixInformation[]
    }

export const ICMPV6_SOLICITATION = 133
export const ICMPV6_ADVERTISEMENT = 134

const WHAT = 'NDP packet'
const MAX_OPTIONS = 64

interface NdpOptions {
  readonly sourceMac?: Uint8Array
  readonly mtu?: number
  readonly prefixes: readonly PrefixInformation[]
}

/**
 * Parses one ICMPv6 message. Options that we do not know are skipped.
 * @throws {WireError} when it is neither of the two, or a length is wrong (an option of length 0 included: RFC 4861 §4.6)
 */
export function parseNdp(bytes: Uint8Array): NdpPacket {
  const reader = new Reader(bytes, WHAT)
  const type = reader.u8('type')
  const code = reader.u8('code')
  reader.skip(2, 'checksum')
  if (code !== 0) throw new WireError(WHAT, `code is ${code}, not 0`)
  if (type === ICMPV6_SOLICITATION) {
    reader.skip(4, 'reserved')
    const { sourceMac } = readOptions(reader)
    return { type: 'solicitation', ...(sourceMac && { sourceMac }) }
  }
  if (type !== ICMPV6_ADVERTISEMENT) throw new WireError(WHAT, `type is ${type}, not 133 or 134`)
  const hopLimit = reader.u8('hop limit')
  const flags = reader.u8('flags')
  return {
    type: 'advertisement',
    hopLimit,
    isManaged: (flags & 0x80) !== 0,
    hasOther: (flags & 0x40) !== 0,
    routerSeconds: reader.u16('router lifetime'),
    reachableMs: reader.u32('reachable time'),
    retransmitMs: reader.u32('retransmit timer'),
    ...readOptions(reader),
  }
}

/** The checksum field is 0: the kernel fills it in on a raw ICMPv6 socket. */
export function serializeNdp(packet: NdpPacket): Uint8Array {
  if (packet.type === 'solicitation') {
    const writer = new Writer(16).u8(ICMPV6_SOLICITATION).u8(0).u16(0).u32(0)
    return writeOptions(writer, { prefixes: [], ...packet })
  }
  const writer = new Writer(64).u8(ICMPV6_ADVERTISEMENT).u8(0).u16(0)
  writer.u8(packet.hopLimit).u8((packet.isManaged ? 0x80 : 0) | (packet.hasOther ? 0x40 : 0))
  writer.u16(packet.routerSeconds).u32(packet.reachableMs).u32(packet.retransmitMs)
  return writeOptions(writer, packet)
}

/** One line for logs. */
export function describeNdp(packet: NdpPacket): string {
  if (packet.type === 'solicitation') return 'router solicitation'
  const flags = `${packet.isManaged ? ' M' : ''}${packet.hasOther ? ' O' : ''}`
  return `router advertisement, lifetime ${packet.routerSeconds} s${flags}, ${packet.prefixes.length} prefixes`
}

function readOptions(reader: Reader): NdpOptions {
  const prefixes: PrefixInformation[] = []
  let sourceMac: Uint8Array | undefined
  let mtu: number | undefined
  for (let count = 0; reader.left > 0; count++) {
    if (count === MAX_OPTIONS) throw new WireError(WHAT, `more than ${MAX_OPTIONS} options`)
    const type = reader.u8('option type')
    const length = reader.u8('option length')
    if (length === 0) throw new WireError(WHAT, `option ${type} has length 0`)
    const value = new Reader(reader.take(length * 8 - 2, `option ${type}`), `${WHAT}: option ${type}`)
    if (type === 1) sourceMac = value.take(6, 'link-layer address').slice()
    else if (type === 3) prefixes.push(readPrefix(value))
    else if (type === 5) {
      value.skip(2, 'reserved')
      mtu = value.u32('MTU')
    }
  }
  return { prefixes, ...(sourceMac && { sourceMac }), ...(mtu !== undefined && { mtu }) }
}

function readPrefix(value: Reader): PrefixInformation {
  const prefixBits = value.u8('prefix length')
  if (prefixBits > 128) throw new WireError(WHAT, `prefix of ${prefixBits} bits`)
  const flags = value.u8('flags')
  const [validSeconds, preferredSeconds] = [value.u32('valid lifetime'), value.u32('preferred lifetime')]
  value.skip(4, 'reserved')
  const prefix = value.take(16, 'prefix').slice()
  const [isOnLink, isAutonomous] = [(flags & 0x80) !== 0, (flags & 0x40) !== 0]
  return { prefix, prefixBits, isOnLink, isAutonomous, validSeconds, preferredSeconds }
}

function writeOptions(writer: Writer, { sourceMac, mtu, prefixes }: NdpOptions): Uint8Array {
  if (sourceMac) writer.u8(1).u8(1).field(sourceMac, 6)
  for (const p of prefixes) {
    const flags = (p.isOnLink ? 0x80 : 0) | (p.isAutonomous ? 0x40 : 0)
    writer.u8(3).u8(4).u8(p.prefixBits).u8(flags).u32(p.validSeconds).u32(p.preferredSeconds).u32(0).field(p.prefix, 16)
  }
  if (mtu !== undefined) writer.u8(5).u8(1).u16(0).u32(mtu)
  return writer.done()
}
