/**
 * Cipher suites of IPMI v2.0 (rev 1.1 §22.15.2, table 22-20; 15 to 19 by errata E4-E7): which algorithms a session uses, and what
 * we make of each. We speak only 17 and 3: every other one lacks authentication, integrity or encryption, or uses RC4 or MD5.
 */
import { Reader, Writer } from '../../base/bytes.ts'
import { WireError } from '../../base/errors.ts'

/** `none` is listed so that it can be recognized and refused. */
export const AUTHENTICATION = { none: 0, 'hmac-sha1': 1, 'hmac-md5': 2, 'hmac-sha256': 3 } as const
export const INTEGRITY = { none: 0, 'hmac-sha1-96': 1, 'hmac-md5-128': 2, 'md5-128': 3, 'hmac-sha256-128': 4 } as const
export const CONFIDENTIALITY = { none: 0, 'aes-cbc-128': 1, 'xrc4-128': 2, 'xrc4-40': 3 } as const

/** The algorithm numbers that Open Session proposes and confirms (§13.17, §13.18). */
export interface Algorithms {
  readonly authentication: number
  readonly integrity: number
  readonly confidentiality: number
}

export interface CipherSuite extends Algorithms {
  readonly id: number
  /** What node:crypto calls the hash. */
  readonly hash: 'sha1' | 'sha256'
  /** Bytes of the key exchange codes in RAKP 2 and 3. */
  readonly keyExchangeBytes: number
  /** Bytes of the integrity check value in RAKP 4 and of the code at the end of every packet. */
  readonly integrityBytes: number
}

/** The suites that we speak; all of them authenticate, protect and encrypt. */
export const CIPHER_SUITES = {
  3: {
    id: 3,
    authentication: 1,
    integrity: 1,
    confidentiality: 1,
    hash: 'sha1',
    keyExchangeBytes: 20,
    integrityBytes: 12,
  },
  17: {
    id: 17,
    authentication: 3,
    integrity: 4,
    confidentiality: 1,
    hash: 'sha256',
    keyExchangeBytes: 32,
    integrityBytes: 16,
  },
} as const satisfies Record<number, CipherSuite>

export type CipherSuiteId = keyof typeof CIPHER_SUITES

/** The suite with these algorithms, or undefined when we do not speak it. */
export function suiteOf(algorithms: Algorithms): CipherSuite | undefined {
  return Object.values(CIPHER_SUITES).find((suite) => sameAlgorithms(suite, algorithms))
}

export function sameAlgorithms(a: Algorithms, b: Algorithms): boolean {
  return a.authentication === b.authentication && a.integrity === b.integrity && a.confidentiality === b.confidentiality
}

/** What a BMC says that it offers. `oem` is an IANA enterprise number where the suite is a maker's own. */
export interface OfferedSuite {
  readonly id: number
  readonly oem?: number
  readonly authentication: number
  readonly integrity: readonly number[]
  readonly confidentiality: readonly number[]
}

const STANDARD_RECORD = 0xc0
const OEM_RECORD = 0xc1
const TAG = { authentication: 0x00, integrity: 0x40, confidentiality: 0x80 } as const
const TAG_MASK = 0xc0

/**
 * Parses the joined records of Get Channel Cipher Suites (§22.15.1, table 22-18).
 * @throws {WireError} when a record starts with another tag, or is cut short
 */
export function parseCipherSuiteRecords(bytes: Uint8Array): OfferedSuite[] {
  const suites: OfferedSuite[] = []
  const r = new Reader(bytes, 'cipher suite records')
  while (r.left > 0) {
    const start = r.u8('start of record')
    if (start !== STANDARD_RECORD && start !== OEM_RECORD)
      throw new WireError('cipher suite records', `a record starts with 0x${start.toString(16)}`)
    const id = r.u8('suite id')
    const oem = start === OEM_RECORD ? r.u8('OEM') | (r.u8('OEM') << 8) | (r.u8('OEM') << 16) : undefined
    const authentication = r.u8('authentication algorithm') & ~TAG_MASK
    const integrity: number[] = []
    const confidentiality: number[] = []
    while (r.left > 0) {
      const next = bytes[r.at]!
      if ((next & TAG_MASK) === TAG.integrity) integrity.push(r.u8() & ~TAG_MASK)
      else if ((next & TAG_MASK) === TAG.confidentiality) confidentiality.push(r.u8() & ~TAG_MASK)
      else break
    }
    suites.push({ id, ...(oem === undefined ? {} : { oem }), authentication, integrity, confidentiality })
  }
  return suites
}

/** The inverse of `parseCipherSuiteRecords`. */
export function serializeCipherSuiteRecords(suites: readonly OfferedSuite[]): Uint8Array {
  const w = new Writer()
  for (const { id, oem, authentication, integrity, confidentiality } of suites) {
    w.u8(oem === undefined ? STANDARD_RECORD : OEM_RECORD).u8(id)
    if (oem !== undefined)
      w.u8(oem & 0xff)
        .u8((oem >> 8) & 0xff)
        .u8((oem >> 16) & 0xff)
    w.u8(TAG.authentication | authentication)
    for (const algorithm of integrity) w.u8(TAG.integrity | algorithm)
    for (const algorithm of confidentiality) w.u8(TAG.confidentiality | algorithm)
  }
  return w.done()
}
