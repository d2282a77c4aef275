/**
 * The IPMI message inside a LAN session: addresses, network function, command, data and two checksums
 * (IPMI v2.0 rev 1.1 §13.8 "IPMI LAN Message Format").
 */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

/** Slave address of the BMC (§5.5). */
export const BMC_ADDRESS = 0x20
/** Software id of a remote console (§5.5: 81h to 8Dh, odd). */
export const CONSOLE_ADDRESS = 0x81
/** Longest message that a LAN session of ours carries or takes; more is somebody's mistake. */
export const MAX_MESSAGE_BYTES = 1024

export const NET_FN = { chassis: 0x00, sensor: 0x04, app: 0x06, storage: 0x0a, transport: 0x0c, group: 0x2c } as const

/** A request has an even network function; its response the next odd one. `sequence` is rqSeq, 0 to 63. */
export interface IpmiRequest {
  readonly netFn: number
  readonly command: number
  readonly sequence: number
  readonly data: Uint8Array
}

/** `netFn` is the request's, even. `completion` 0 is success; see `completion.ts`. */
export interface IpmiResponse {
  readonly netFn: number
  readonly command: number
  readonly sequence: number
  readonly completion: number
  readonly data: Uint8Array
}

/** Two's complement of the sum of the bytes, 8 bits (§13.8): the bytes and their checksum add up to 0. */
export function checksum(bytes: Uint8Array): number {
  let sum = 0
  for (const byte of bytes) sum += byte
  return -sum & 0xff
}

/** @throws {WireError} when cut short, a checksum is wrong, or it is a response */
export function parseIpmiRequest(bytes: Uint8Array): IpmiRequest {
  const { netFn, sequence, command, rest } = parseHeader(bytes, 'IPMI request')
  if (netFn & 1) throw new WireError('IPMI request', `network function ${netFn} is a response's`)
  return { netFn, command, sequence, data: rest }
}

export function serializeIpmiRequest(request: IpmiRequest): Uint8Array {
  return serialize(BMC_ADDRESS, CONSOLE_ADDRESS, request.netFn, request.sequence, request.command, request.data)
}

/** @throws {WireError} when cut short, a checksum is wrong, or it is a request */
export function parseIpmiResponse(bytes: Uint8Array): IpmiResponse {
  const { netFn, sequence, command, rest } = parseHeader(bytes, 'IPMI response')
  if ((netFn & 1) === 0) throw new WireError('IPMI response', `network function ${netFn} is a request's`)
  const r = new Reader(rest, 'IPMI response')
  return { netFn: netFn & ~1, sequence, command, completion: r.u8('completion code'), data: r.rest() }
}

export function serializeIpmiResponse(response: IpmiResponse): Uint8Array {
  const body = new Uint8Array(response.data.length + 1)
  body[0] = response.completion
  body.set(response.data, 1)
  return serialize(CONSOLE_ADDRESS, BMC_ADDRESS, response.netFn | 1, response.sequence, response.command, body)
}

function serialize(
  to: number,
  from: number,
  netFn: number,
  sequence: number,
  command: number,
  body: Uint8Array,
): Uint8Array {
  const w = new Writer(body.length + 7).u8(to).u8(netFn << 2)
  w.u8(checksum(Uint8Array.of(to, netFn << 2)))
  w.u8(from)
    .u8((sequence & 0x3f) << 2)
    .u8(command)
    .bytes(body)
  return w.u8(checksum(w.done().subarray(3))).done()
}

function parseHeader(bytes: Uint8Array, what: string) {
  if (bytes.length > MAX_MESSAGE_BYTES)
    throw new WireError(what, `${bytes.length} bytes, more than ${MAX_MESSAGE_BYTES}`)
  const r = new Reader(bytes, what)
  r.skip(1, 'address')
  const netFn = r.u8('network function') >> 2
  r.skip(1, 'header checksum')
  if (checksum(bytes.subarray(0, 3)) !== 0) throw new WireError(what, 'header checksum is wrong')
  r.skip(1, 'address')
  const sequence = r.u8('sequence') >> 2
  const command = r.u8('command')
  if (r.left < 1) throw new WireError(what, 'checksum: 1 byte needed, 0 left')
  const rest = r.take(r.left - 1)
  if (checksum(bytes.subarray(3)) !== 0) throw new WireError(what, 'data checksum is wrong')
  return { netFn, sequence, command, rest }
}
