/**
 * How an RMCP+ session is set up: Open Session request and response, then RAKP messages 1 to 4
 * (IPMI v2.0 rev 1.1 §13.17 to §13.24). Shapes only; the codes in them are made and checked by `keys.ts`.
 */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import type { Algorithms } from './cipher-suites.ts'
import { MAX_USER_BYTES, RANDOM_BYTES } from './keys.ts'

/** Privilege levels (§6.8); each includes those before it. */
export const PRIVILEGE = { callback: 1, user: 2, operator: 3, administrator: 4 } as const
export type Privilege = keyof typeof PRIVILEGE

/** Role bit: look the user up by name alone, whatever level its entry has (§13.20, RAKP 1 byte 25). */
export const NAME_ONLY_LOOKUP = 0x10

/** RMCP+ and RAKP status codes (§13.24, table 13-15). */
export const RAKP_STATUS: Readonly<Record<number, string>> = {
  0x00: 'no errors',
  0x01: 'no free session is left on the BMC',
  0x02: 'invalid session id',
  0x03: 'invalid payload type',
  0x04: 'invalid authentication algorithm',
  0x05: 'invalid integrity algorithm',
  0x06: 'no matching authentication payload',
  0x07: 'no matching integrity payload',
  0x08: 'inactive session id',
  0x09: 'invalid role',
  0x0a: 'unauthorized role or privilege level',
  0x0b: 'not enough resources to create a session at this role',
  0x0c: 'invalid name length',
  0x0d: 'unauthorized name',
  0x0e: 'unauthorized GUID',
  0x0f: 'invalid integrity check value',
  0x10: 'invalid confidentiality algorithm',
  0x11: 'no cipher suite with these algorithms',
  0x12: 'illegal or unrecognized parameter',
}
/** Statuses that mean "not with these algorithms": another suite may do. */
export const SUITE_REFUSED: ReadonlySet<number> = new Set([0x04, 0x05, 0x06, 0x07, 0x10, 0x11])
export const STATUS = {
  ok: 0x00,
  noSession: 0x01,
  invalidSession: 0x02,
  invalidRole: 0x09,
  unauthorizedRole: 0x0a,
  noRoleSession: 0x0b,
  unauthorizedName: 0x0d,
  badIntegrity: 0x0f,
  noSuite: 0x11,
} as const

export interface OpenSessionRequest extends Algorithms {
  readonly tag: number
  /** 0 asks for the highest that the suite allows. */
  readonly privilege: number
  readonly consoleSessionId: number
}

/**
 * With a status other than 0 the BMC sends no more than the console's session id (§13.18). Leniency: ipmi_sim leaves off even that
 * and ends after the status, so the id may be missing.
 */
export type OpenSessionResponse =
  | { readonly tag: number; readonly status: number; readonly consoleSessionId?: number; readonly accepted?: undefined }
  | {
      readonly tag: number
      readonly status: 0
      readonly consoleSessionId: number
      readonly accepted: Algorithms & { readonly privilege: number; readonly bmcSessionId: number }
    }

export interface Rakp1 {
  readonly tag: number
  readonly bmcSessionId: number
  readonly consoleRandom: Uint8Array
  readonly role: number
  readonly user: string
}

export interface Rakp2 {
  readonly tag: number
  readonly status: number
  readonly consoleSessionId: number
  /** Absent when the status is not 0. */
  readonly proof?: { readonly bmcRandom: Uint8Array; readonly bmcGuid: Uint8Array; readonly code: Uint8Array }
}

/** A status other than 0 tells the BMC why we give the session up; there is no code then. */
export interface Rakp3 {
  readonly tag: number
  readonly status: number
  readonly bmcSessionId: number
  readonly code: Uint8Array
}

/** `code` is empty when the status is not 0. */
export interface Rakp4 {
  readonly tag: number
  readonly status: number
  readonly consoleSessionId: number
  readonly code: Uint8Array
}

const ALGORITHM_PAYLOAD_BYTES = 8

/** @throws {WireError} when cut short or an algorithm payload has another type or length than §13.17 says */
export function parseOpenSessionRequest(bytes: Uint8Array): OpenSessionRequest {
  const r = new Reader(bytes, 'Open Session request')
  const tag = r.u8('tag')
  const privilege = r.u8('privilege') & 0x0f
  r.skip(2, 'reserved')
  return {
    tag,
    privilege,
    consoleSessionId: r.u32le('console session id'),
    ...readAlgorithms(r, 'Open Session request'),
  }
}

export function serializeOpenSessionRequest(m: OpenSessionRequest): Uint8Array {
  return writeAlgorithms(new Writer().u8(m.tag).u8(m.privilege).u16(0).u32le(m.consoleSessionId), m).done()
}

/** @throws {WireError} when cut short, or status 0 without what it accepts */
export function parseOpenSessionResponse(bytes: Uint8Array): OpenSessionResponse {
  const what = 'Open Session response'
  const r = new Reader(bytes, what)
  const tag = r.u8('tag')
  const status = r.u8('status')
  if (status !== STATUS.ok && r.left < 6) return { tag, status }
  const privilege = r.u8('privilege') & 0x0f
  r.skip(1, 'reserved')
  const consoleSessionId = r.u32le('console session id')
  if (status !== STATUS.ok) return { tag, status, consoleSessionId }
  const bmcSessionId = r.u32le('BMC session id')
  return { tag, status, consoleSessionId, accepted: { privilege, bmcSessionId, ...readAlgorithms(r, what) } }
}

export function serializeOpenSessionResponse(m: OpenSessionResponse): Uint8Array {
  const w = new Writer()
    .u8(m.tag)
    .u8(m.status)
    .u8(m.accepted?.privilege ?? 0)
    .u8(0)
    .u32le(m.consoleSessionId ?? 0)
  return (m.accepted ? writeAlgorithms(w.u32le(m.accepted.bmcSessionId), m.accepted) : w).done()
}

/** @throws {WireError} when cut short or the user's name is longer than 16 bytes */
export function parseRakp1(bytes: Uint8Array): Rakp1 {
  const r = new Reader(bytes, 'RAKP 1')
  const tag = r.u8('tag')
  r.skip(3, 'reserved')
  const bmcSessionId = r.u32le('BMC session id')
  const consoleRandom = r.take(RANDOM_BYTES, 'random number')
  const role = r.u8('role')
  r.skip(2, 'reserved')
  const userBytes = r.u8('user name length')
  if (userBytes > MAX_USER_BYTES)
    throw new WireError('RAKP 1', `user name of ${userBytes} bytes, more than ${MAX_USER_BYTES}`)
  return { tag, bmcSessionId, consoleRandom, role, user: r.utf8(userBytes, 'user name') }
}

export function serializeRakp1(m: Rakp1): Uint8Array {
  const name = new TextEncoder().encode(m.user)
  const w = new Writer().u8(m.tag).zeros(3).u32le(m.bmcSessionId).bytes(m.consoleRandom).u8(m.role).u16(0)
  return w.u8(name.length).bytes(name).done()
}

/** @throws {WireError} when cut short */
export function parseRakp2(bytes: Uint8Array): Rakp2 {
  const r = new Reader(bytes, 'RAKP 2')
  const head = {
    tag: r.u8('tag'),
    status: r.u8('status'),
    consoleSessionId: (r.skip(2), r.u32le('console session id')),
  }
  if (head.status !== STATUS.ok) return head
  const bmcRandom = r.take(RANDOM_BYTES, 'random number')
  const bmcGuid = r.take(RANDOM_BYTES, 'GUID')
  return { ...head, proof: { bmcRandom, bmcGuid, code: r.rest() } }
}

export function serializeRakp2(m: Rakp2): Uint8Array {
  const w = new Writer().u8(m.tag).u8(m.status).u16(0).u32le(m.consoleSessionId)
  if (m.proof) w.bytes(m.proof.bmcRandom).bytes(m.proof.bmcGuid).bytes(m.proof.code)
  return w.done()
}

/** @throws {WireError} when cut short */
export function parseRakp3(bytes: Uint8Array): Rakp3 {
  const { tag, status, sessionId, code } = parseTail(bytes, 'RAKP 3')
  return { tag, status, bmcSessionId: sessionId, code }
}

export function serializeRakp3(m: Rakp3): Uint8Array {
  return new Writer().u8(m.tag).u8(m.status).u16(0).u32le(m.bmcSessionId).bytes(m.code).done()
}

/** @throws {WireError} when cut short */
export function parseRakp4(bytes: Uint8Array): Rakp4 {
  const { tag, status, sessionId, code } = parseTail(bytes, 'RAKP 4')
  return { tag, status, consoleSessionId: sessionId, code }
}

export function serializeRakp4(m: Rakp4): Uint8Array {
  return new Writer().u8(m.tag).u8(m.status).u16(0).u32le(m.consoleSessionId).bytes(m.code).done()
}

function parseTail(bytes: Uint8Array, what: string) {
  const r = new Reader(bytes, what)
  const tag = r.u8('tag')
  const status = r.u8('status')
  r.skip(2, 'reserved')
  return { tag, status, sessionId: r.u32le('session id'), code: r.rest() }
}

function writeAlgorithms(w: Writer, a: Algorithms): Writer {
  const algorithms = [a.authentication, a.integrity, a.confidentiality]
  for (const [type, algorithm] of algorithms.entries())
    w.u8(type).u16(0).u8(ALGORITHM_PAYLOAD_BYTES).u8(algorithm).zeros(3)
  return w
}

function readAlgorithms(r: Reader, what: string): Algorithms {
  const found = [0, 1, 2].map((type) => {
    const gotType = r.u8('algorithm type')
    if (gotType !== type) throw new WireError(what, `algorithm payload ${type} has the type ${gotType}`)
    r.skip(2, 'reserved')
    const lengthBytes = r.u8('algorithm payload length')
    // Length 0 means "any" in a request (§13.17); we never ask so, and as BMC we do not take it.
    if (lengthBytes !== ALGORITHM_PAYLOAD_BYTES)
      throw new WireError(what, `algorithm payload ${type} is ${lengthBytes} bytes long`)
    const algorithm = r.u8('algorithm') & 0x3f
    r.skip(3, 'reserved')
    return algorithm
  })
  return { authentication: found[0]!, integrity: found[1]!, confidentiality: found[2]! }
}
