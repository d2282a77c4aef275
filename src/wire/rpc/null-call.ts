/** The NULL procedure of an ONC RPC program (RFC 5531 §12), which does nothing but answer; over TCP with record marking (§11). */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

/** RFC 7530 §18.1, RFC 8881 §20. */
export const NFS_PROGRAM = 100_003

const WHAT = 'RPC reply'
const LAST_FRAGMENT = 0x8000_0000
const CALL = 0
const REPLY = 1
const RPC_VERSION = 2
const MSG_ACCEPTED = 0
const AUTH_NONE = 0
/** A reply to NULL has no results: mark, six words, and a verifier of at most 400 bytes (RFC 5531 §8.2). */
const MAX_BODY = 24 + 400

export interface NullCall {
  readonly xid: number
  readonly program: number
  readonly version: number
}

/** One record: the call with neither credential nor verifier. */
export function serializeNullCall({ xid, program, version }: NullCall): Uint8Array {
  const body = new Writer()
  for (const word of [xid, CALL, RPC_VERSION, program, version, 0, AUTH_NONE, 0, AUTH_NONE, 0]) body.u32(word)
  return new Writer()
    .u32(LAST_FRAGMENT + body.length)
    .bytes(body.done())
    .done()
}

export interface NullReply {
  readonly xid: number
  /** RFC 5531 §9, accept_stat: 0 is success, 1 no such program, 2 no such version. */
  readonly status: number
}

/**
 * Parses the reply at the start of a TCP stream.
 * @returns undefined while more bytes are needed
 * @throws {WireError} when it is no accepted reply, or longer than one can be
 */
export function parseNullReply(bytes: Uint8Array): NullReply | undefined {
  if (bytes.length < 4) return undefined
  const stream = new Reader(bytes, WHAT)
  const mark = stream.u32('record mark')
  const length = mark - LAST_FRAGMENT
  if (length < 0) throw new WireError(WHAT, 'it comes in several fragments')
  if (length > MAX_BODY) throw new WireError(WHAT, `${length} bytes, over ${MAX_BODY}`)
  if (stream.left < length) return undefined
  const reader = new Reader(stream.take(length), WHAT)
  const xid = reader.u32('xid')
  if (reader.u32('message type') !== REPLY) throw new WireError(WHAT, 'it is no reply')
  if (reader.u32('reply status') !== MSG_ACCEPTED) throw new WireError(WHAT, 'the call was denied')
  reader.skip(4, 'verifier flavour')
  const verifierLength = reader.u32('verifier length')
  reader.skip(Math.ceil(verifierLength / 4) * 4, 'verifier')
  return { xid, status: reader.u32('accept status') }
}
