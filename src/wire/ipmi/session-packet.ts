/**
 * The session header around a payload: IPMI v1.5 without authentication, for the one command that is asked before a session
 * (§13.6), and v2.0 RMCP+ with its trailer (IPMI v2.0 rev 1.1 §13.6, table 13-8).
 */
import { concatBytes, Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import { decryptPayload, encryptPayload, integrityCode, sameCode, type SessionKeys } from './keys.ts'

/** Payload types (§13.27.3, table 13-16). */
export const PAYLOAD = {
  ipmi: 0x00,
  sol: 0x01,
  oem: 0x02,
  openSessionRequest: 0x10,
  openSessionResponse: 0x11,
  rakp1: 0x12,
  rakp2: 0x13,
  rakp3: 0x14,
  rakp4: 0x15,
} as const
export type PayloadName = keyof typeof PAYLOAD

const FORMAT_RMCP_PLUS = 0x06
const ENCRYPTED = 0x80
const AUTHENTICATED = 0x40
const TYPE_MASK = 0x3f
const NEXT_HEADER = 0x07
const AUTH_CODE_V15_BYTES = 16
/** Payloads of LAN sessions fit a datagram that no link splits. */
export const MAX_PAYLOAD_BYTES = 1400

/** A packet as it stands on the wire. Of a v2.0 packet `payload` may be encrypted; `openPacket` checks and decrypts it. */
export type SessionPacket =
  | {
      readonly format: 'v1.5'
      readonly authType: number
      readonly sequence: number
      readonly sessionId: number
      readonly payload: Uint8Array
    }
  | {
      readonly format: 'v2.0'
      /** A value of PAYLOAD, or one that we do not know. */
      readonly payloadType: number
      readonly isEncrypted: boolean
      readonly isAuthenticated: boolean
      readonly sessionId: number
      readonly sequence: number
      readonly payload: Uint8Array
      /** The packet itself, from the authentication type on: what the integrity code covers, and the code. */
      readonly whole: Uint8Array
    }
export type RmcpPlusPacket = Extract<SessionPacket, { format: 'v2.0' }>

/**
 * Parses the body of an RMCP message of class IPMI. Checks lengths only; who sent it is checked by `openPacket`.
 * @throws {WireError} when cut short, or its payload is longer than MAX_PAYLOAD_BYTES or of a type of a maker
 */
export function parseSessionPacket(bytes: Uint8Array): SessionPacket {
  const r = new Reader(bytes, 'IPMI session packet')
  const authType = r.u8('authentication type')
  return (authType & 0x0f) === FORMAT_RMCP_PLUS ? parseV20(r, bytes) : parseV15(r, authType)
}

/** A v1.5 packet outside of any session (authentication type none). */
export function serializeV15(payload: Uint8Array): Uint8Array {
  return new Writer().u8(0).u32le(0).u32le(0).u8(payload.length).bytes(payload).done()
}

/** A v2.0 packet outside of any session: Open Session and RAKP messages (§13.17 to §13.23). */
export function serializePlain(payloadType: PayloadName, payload: Uint8Array): Uint8Array {
  return header(PAYLOAD[payloadType], 0, 0, payload).done()
}

/**
 * A v2.0 packet of a session: encrypted, then signed (§13.28.4).
 * @param iv 16 random bytes, never used twice with the same keys
 */
export function sealPacket(
  keys: SessionKeys,
  packet: { payloadType: PayloadName; sessionId: number; sequence: number; payload: Uint8Array; iv: Uint8Array },
): Uint8Array {
  const type = PAYLOAD[packet.payloadType] | ENCRYPTED | AUTHENTICATED
  const w = header(type, packet.sessionId, packet.sequence, encryptPayload(keys, packet.payload, packet.iv))
  const padBytes = (4 - ((w.length + 2) % 4)) % 4
  for (let i = 0; i < padBytes; i++) w.u8(0xff)
  const signed = w.u8(padBytes).u8(NEXT_HEADER).done()
  return concatBytes(signed, integrityCode(keys, signed))
}

/**
 * Checks the integrity code and decrypts: the inverse of `sealPacket`.
 * @throws {WireError} when the packet is not authenticated and encrypted, its code is wrong or its trailer is
 */
export function openPacket(keys: SessionKeys, packet: RmcpPlusPacket): Uint8Array {
  const what = 'IPMI session packet'
  if (!packet.isAuthenticated || !packet.isEncrypted) throw new WireError(what, 'it is not both signed and encrypted')
  const signedBytes = packet.whole.length - keys.suite.integrityBytes
  const payloadEnd = V20_HEADER_BYTES + packet.payload.length
  if (signedBytes < payloadEnd + 2) throw new WireError(what, 'no room for its integrity code')
  const signed = packet.whole.subarray(0, signedBytes)
  if (!sameCode(integrityCode(keys, signed), packet.whole.subarray(signedBytes)))
    throw new WireError(what, 'its integrity code is wrong')
  const padBytes = signed[signedBytes - 2]!
  if (payloadEnd + padBytes + 2 !== signedBytes)
    throw new WireError(what, `its integrity pad of ${padBytes} bytes does not fit`)
  return decryptPayload(keys, packet.payload)
}

/** One line for a log. */
export function describeSessionPacket(packet: SessionPacket): string {
  if (packet.format === 'v1.5') return `v1.5 message, ${packet.payload.length} bytes`
  const name =
    Object.entries(PAYLOAD).find(([, type]) => type === packet.payloadType)?.[0] ?? `payload ${packet.payloadType}`
  return `${name} session ${packet.sessionId.toString(16)} sequence ${packet.sequence}, ${packet.payload.length} bytes`
}

/** Format, type, session id, sequence, length; OEM payloads (type 2) have 6 more and are not ours. */
const V20_HEADER_BYTES = 12

function header(type: number, sessionId: number, sequence: number, payload: Uint8Array): Writer {
  const w = new Writer(payload.length + 64).u8(FORMAT_RMCP_PLUS).u8(type)
  return w.u32le(sessionId).u32le(sequence).u16le(payload.length).bytes(payload)
}

function parseV20(r: Reader, whole: Uint8Array): RmcpPlusPacket {
  const type = r.u8('payload type')
  const payloadType = type & TYPE_MASK
  if (payloadType === PAYLOAD.oem) throw new WireError('IPMI session packet', 'its payload is a type of a maker')
  const sessionId = r.u32le('session id')
  const sequence = r.u32le('sequence')
  const payload = r.take(bounded(r.u16le('payload length')), 'payload')
  const isAuthenticated = (type & AUTHENTICATED) !== 0
  return {
    format: 'v2.0',
    payloadType,
    isEncrypted: (type & ENCRYPTED) !== 0,
    isAuthenticated,
    sessionId,
    sequence,
    payload,
    whole,
  }
}

function parseV15(r: Reader, authType: number): SessionPacket {
  const sequence = r.u32le('sequence')
  const sessionId = r.u32le('session id')
  if (authType !== 0) r.skip(AUTH_CODE_V15_BYTES, 'authentication code')
  return { format: 'v1.5', authType, sequence, sessionId, payload: r.take(r.u8('payload length'), 'payload') }
}

function bounded(lengthBytes: number): number {
  if (lengthBytes > MAX_PAYLOAD_BYTES)
    throw new WireError('IPMI session packet', `payload of ${lengthBytes} bytes, more than ${MAX_PAYLOAD_BYTES}`)
  return lengthBytes
}
