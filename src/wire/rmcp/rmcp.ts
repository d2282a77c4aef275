/**
 * RMCP, the datagram header that IPMI and ASF share on UDP port 623 (ASF 2.0 §3.2.2, IPMI v2.0 rev 1.1 §13.1), and the ASF
 * presence ping and pong (ASF 2.0 §3.2.4.2, §3.2.4.3).
 */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

/** UDP port of RMCP (IPMI v2.0 §13.1.2, "primary RMCP port"). */
export const RMCP_PORT = 623

/** No RMCP acknowledgement is wanted (ASF 2.0 §3.2.2.2); IPMI always sends this. */
export const NO_ACK_SEQUENCE = 0xff

/** IANA enterprise number of ASF (ASF 2.0 §3.2.2.3). */
const ASF_ENTERPRISE = 4542
const VERSION = 0x06
const CLASS = { asf: 0x06, ipmi: 0x07 } as const
const ACK_BIT = 0x80
const ASF_TYPE = { ping: 0x80, pong: 0x40 } as const
const IPMI_SUPPORTED = 0x80
const PONG_DATA_BYTES = 16

/** One RMCP datagram. `body` of the kind `ipmi` is a session packet (`wire/ipmi/session-packet.ts`). */
export type RmcpMessage =
  | { readonly kind: 'ipmi'; readonly sequence: number; readonly body: Uint8Array }
  | { readonly kind: 'asf-ping'; readonly sequence: number; readonly tag: number }
  | {
      readonly kind: 'asf-pong'
      readonly sequence: number
      readonly tag: number
      /** IANA enterprise number of who made the BMC, or 4542. */
      readonly enterprise: number
      readonly speaksIpmi: boolean
    }
  | { readonly kind: 'ack'; readonly sequence: number }

/**
 * Parses a whole datagram. Bytes after an ASF message are ignored.
 * @throws {WireError} when it is not RMCP 1.0, is cut short, or has a class or an ASF type that is not in the table above
 */
export function parseRmcp(bytes: Uint8Array): RmcpMessage {
  const r = new Reader(bytes, 'RMCP packet')
  const version = r.u8('version')
  if (version !== VERSION) throw new WireError('RMCP packet', `version is ${version}, not ${VERSION}`)
  r.skip(1, 'reserved')
  const sequence = r.u8('sequence')
  const messageClass = r.u8('class')
  if (messageClass === (CLASS.asf | ACK_BIT) || messageClass === (CLASS.ipmi | ACK_BIT))
    return { kind: 'ack', sequence }
  if (messageClass === CLASS.ipmi) return { kind: 'ipmi', sequence, body: r.rest() }
  if (messageClass === CLASS.asf) return parseAsf(r, sequence)
  throw new WireError('RMCP packet', `class is 0x${messageClass.toString(16)}, neither ASF nor IPMI`)
}

/** The datagram of a message; the inverse of `parseRmcp`. */
export function serializeRmcp(message: RmcpMessage): Uint8Array {
  const w = new Writer(128).u8(VERSION).u8(0).u8(message.sequence)
  switch (message.kind) {
    case 'ipmi':
      return w.u8(CLASS.ipmi).bytes(message.body).done()
    case 'ack':
      return w.u8(CLASS.asf | ACK_BIT).done()
    case 'asf-ping':
      return w.u8(CLASS.asf).u32(ASF_ENTERPRISE).u8(ASF_TYPE.ping).u8(message.tag).u8(0).u8(0).done()
    case 'asf-pong':
      w.u8(CLASS.asf).u32(ASF_ENTERPRISE).u8(ASF_TYPE.pong).u8(message.tag).u8(0).u8(PONG_DATA_BYTES)
      w.u32(message.enterprise).u32(0)
      return w
        .u8(message.speaksIpmi ? IPMI_SUPPORTED | 1 : 1)
        .u8(0)
        .zeros(6)
        .done()
    default:
      return message satisfies never
  }
}

/** One line for a log. */
export function describeRmcp(message: RmcpMessage): string {
  switch (message.kind) {
    case 'ipmi':
      return `IPMI, ${message.body.length} bytes`
    case 'asf-ping':
      return `ASF ping ${message.tag}`
    case 'asf-pong':
      return `ASF pong ${message.tag}, ${message.speaksIpmi ? 'speaks IPMI' : 'no IPMI'}`
    case 'ack':
      return `RMCP ack ${message.sequence}`
    default:
      return message satisfies never
  }
}

function parseAsf(r: Reader, sequence: number): RmcpMessage {
  const enterprise = r.u32('ASF enterprise number')
  if (enterprise !== ASF_ENTERPRISE)
    throw new WireError('ASF message', `enterprise is ${enterprise}, not ${ASF_ENTERPRISE}`)
  const type = r.u8('type')
  const tag = r.u8('tag')
  r.skip(1, 'reserved')
  const data = new Reader(r.take(r.u8('data length'), 'data'), 'ASF pong')
  if (type === ASF_TYPE.ping) return { kind: 'asf-ping', sequence, tag }
  if (type !== ASF_TYPE.pong)
    throw new WireError('ASF message', `type is 0x${type.toString(16)}, neither ping nor pong`)
  const maker = data.u32('enterprise number')
  data.skip(4, 'OEM-defined')
  return {
    kind: 'asf-pong',
    sequence,
    tag,
    enterprise: maker,
    speaksIpmi: (data.u8('supported entities') & IPMI_SUPPORTED) !== 0,
  }
}
