/**
 * Keys and codes of an RMCP+ session (IPMI v2.0 rev 1.1 §13.28 to §13.32): pure functions over node:crypto. K_G, the optional
 * second secret of a BMC, is not used: K_UID, the user's password, stands in for it as §13.31 says.
 */
import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto'
import { Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'
import type { CipherSuite } from './cipher-suites.ts'

/** Longest password of an IPMI 2.0 user (§22.30) and longest name (§22.28), bytes. */
export const MAX_PASSWORD_BYTES = 20
export const MAX_USER_BYTES = 16
/** Bytes of the random numbers of both sides and of the BMC's GUID. */
export const RANDOM_BYTES = 16
const AES_BLOCK_BYTES = 16
/** Constants for K1, K2 are 20 bytes long whatever the hash (§13.32). */
const CONSTANT_BYTES = 20

/** All that RAKP 1 and 2 tell; the input of every code below. */
export interface KeyExchange {
  readonly suite: CipherSuite
  readonly consoleSessionId: number
  readonly bmcSessionId: number
  readonly consoleRandom: Uint8Array
  readonly bmcRandom: Uint8Array
  readonly bmcGuid: Uint8Array
  /** The role byte of RAKP 1 as sent: requested privilege, and the name-only bit. */
  readonly role: number
  readonly user: string
  readonly password: Uint8Array
}

/** Keys of an active session. */
export interface SessionKeys {
  readonly suite: CipherSuite
  /** Session integrity key. */
  readonly sik: Uint8Array
  /** Signs packets. */
  readonly k1: Uint8Array
  /** Its first 16 bytes encrypt payloads. */
  readonly k2: Uint8Array
}

/** SIK = HMAC[K_UID](Rm | Rc | Role | user name length | user name), K1 and K2 = HMAC[SIK](constant) (§13.31, §13.32). */
export function deriveKeys(x: KeyExchange): SessionKeys {
  const sik = hmac(
    x.suite,
    x.password,
    new Writer().bytes(x.consoleRandom).bytes(x.bmcRandom).bytes(roleAndUser(x)).done(),
  )
  return {
    suite: x.suite,
    sik,
    k1: hmac(x.suite, sik, new Uint8Array(CONSTANT_BYTES).fill(1)),
    k2: hmac(x.suite, sik, new Uint8Array(CONSTANT_BYTES).fill(2)),
  }
}

/** The BMC's proof in RAKP 2 that it knows the password (§13.31). */
export function rakp2Code(x: KeyExchange): Uint8Array {
  const w = new Writer().u32le(x.consoleSessionId).u32le(x.bmcSessionId)
  w.bytes(x.consoleRandom).bytes(x.bmcRandom).bytes(x.bmcGuid).bytes(roleAndUser(x))
  return hmac(x.suite, x.password, w.done())
}

/** Our proof in RAKP 3 that we know the password (§13.31). */
export function rakp3Code(x: KeyExchange): Uint8Array {
  return hmac(
    x.suite,
    x.password,
    new Writer().bytes(x.bmcRandom).u32le(x.consoleSessionId).bytes(roleAndUser(x)).done(),
  )
}

/** The BMC's proof in RAKP 4 that it derived the same keys, cut to the suite's length (§13.28.1, §13.31). */
export function rakp4Code(x: KeyExchange, keys: SessionKeys): Uint8Array {
  const text = new Writer().bytes(x.consoleRandom).u32le(x.bmcSessionId).bytes(x.bmcGuid).done()
  return hmac(x.suite, keys.sik, text).subarray(0, x.suite.integrityBytes)
}

/** The code at the end of a packet: K1 over everything from the authentication type on (§13.28.4). */
export function integrityCode(keys: SessionKeys, signed: Uint8Array): Uint8Array {
  return hmac(keys.suite, keys.k1, signed).subarray(0, keys.suite.integrityBytes)
}

/** Compares codes in constant time; codes of different lengths differ. */
export function sameCode(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/** AES-CBC-128 (§13.29): the initialization vector, then the payload with its pad 01h 02h … and the pad's length, encrypted. */
export function encryptPayload(keys: SessionKeys, payload: Uint8Array, iv: Uint8Array): Uint8Array {
  const padBytes = (AES_BLOCK_BYTES - ((payload.length + 1) % AES_BLOCK_BYTES)) % AES_BLOCK_BYTES
  const plain = new Uint8Array(payload.length + padBytes + 1)
  plain.set(payload)
  for (let i = 0; i < padBytes; i++) plain[payload.length + i] = i + 1
  plain[plain.length - 1] = padBytes
  const cipher = createCipheriv('aes-128-cbc', keys.k2.subarray(0, 16), iv).setAutoPadding(false)
  const body = cipher.update(plain)
  const whole = new Uint8Array(AES_BLOCK_BYTES + plain.length)
  whole.set(iv)
  whole.set(body, AES_BLOCK_BYTES)
  return whole
}

/**
 * The inverse of `encryptPayload`. Call it only for bytes whose integrity code was right.
 * @throws {WireError} when it is no whole number of blocks, or the pad is not 01h 02h …
 */
export function decryptPayload(keys: SessionKeys, bytes: Uint8Array): Uint8Array {
  const what = 'encrypted IPMI payload'
  if (bytes.length < 2 * AES_BLOCK_BYTES || bytes.length % AES_BLOCK_BYTES !== 0)
    throw new WireError(what, `${bytes.length} bytes are not a vector and whole blocks of ${AES_BLOCK_BYTES}`)
  const iv = bytes.subarray(0, AES_BLOCK_BYTES)
  const cipher = createDecipheriv('aes-128-cbc', keys.k2.subarray(0, 16), iv).setAutoPadding(false)
  const plain = cipher.update(bytes.subarray(AES_BLOCK_BYTES))
  const padBytes = plain[plain.length - 1]!
  if (padBytes >= AES_BLOCK_BYTES) throw new WireError(what, `pad of ${padBytes} bytes is longer than a block`)
  const length = plain.length - 1 - padBytes
  for (let i = 0; i < padBytes; i++)
    if (plain[length + i] !== i + 1)
      throw new WireError(what, `byte ${i} of the pad is ${plain[length + i]}, not ${i + 1}`)
  return plain.subarray(0, length)
}

function roleAndUser(x: KeyExchange): Uint8Array {
  const name = new TextEncoder().encode(x.user)
  return new Writer(32).u8(x.role).u8(name.length).bytes(name).done()
}

function hmac(suite: CipherSuite, key: Uint8Array, text: Uint8Array): Uint8Array {
  return createHmac(suite.hash, key).update(text).digest()
}
