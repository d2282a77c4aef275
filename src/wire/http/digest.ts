/** HTTP digest authentication, the client's half (RFC 7616): qop `auth`, MD5 and SHA-256. Pure functions over node:crypto. */
import { createHash } from 'node:crypto'
import type { Challenge } from './challenge.ts'

/** What a server asks for, once everything in it is understood. */
export interface DigestChallenge {
  readonly algorithm: 'MD5' | 'SHA-256'
  readonly realm: string
  readonly nonce: string
  readonly opaque?: string
  /** The nonce was too old; the password was right (RFC 7616 §3.3). */
  readonly isStale: boolean
}

export interface DigestRequest {
  readonly method: string
  /** The request target as it is sent: path and query. */
  readonly uri: string
  readonly user: string
  readonly password: string
  /** How many requests were made with this nonce, this one included. */
  readonly nonceCount: number
  /** Of ours, anew for each request. */
  readonly clientNonce: string
}

const HASHES = { MD5: 'md5', 'SHA-256': 'sha256' } as const
const MAX_VALUE = 1024

/**
 * The best digest challenge among those of a server: SHA-256 before MD5.
 * @returns undefined when there is none that protects (qop `auth`) in an algorithm that we have; Basic is none
 */
export function digestChallengeOf(challenges: readonly Challenge[]): DigestChallenge | undefined {
  const usable = challenges.flatMap(({ scheme, parameters }): DigestChallenge[] => {
    const nonce = parameters.get('nonce')
    const realm = parameters.get('realm')
    const algorithm = (parameters.get('algorithm') ?? 'MD5').toUpperCase()
    const qops = (parameters.get('qop') ?? '').split(',').map((qop) => qop.trim().toLowerCase())
    const values = [...parameters.values()]
    if (scheme !== 'digest' || nonce === undefined || realm === undefined || !qops.includes('auth')) return []
    if (algorithm !== 'MD5' && algorithm !== 'SHA-256') return []
    if (values.some((value) => value.length > MAX_VALUE || /[^ -~]/.test(value))) return []
    const opaque = parameters.get('opaque')
    const isStale = parameters.get('stale')?.toLowerCase() === 'true'
    return [{ algorithm, realm, nonce, isStale, ...(opaque === undefined ? {} : { opaque }) }]
  })
  return usable.find(({ algorithm }) => algorithm === 'SHA-256') ?? usable[0]
}

/**
 * The value of the Authorization header (RFC 7616 §3.4). It holds no password, but is a proof of it for this nonce.
 * @throws {RangeError} when the user has characters that a quoted string cannot carry
 */
export function digestAuthorization(challenge: DigestChallenge, request: DigestRequest): string {
  const { realm, nonce, algorithm, opaque } = challenge
  const { method, uri, user, password, nonceCount, clientNonce } = request
  if (/[^ -~]|[:"\\]/.test(user)) throw new RangeError('a user of HTTP digest has printable ASCII without : " and \\')
  const hash = (text: string): string => createHash(HASHES[algorithm]).update(text, 'utf8').digest('hex')
  const count = nonceCount.toString(16).padStart(8, '0')
  const secret = hash(`${user}:${realm}:${password}`)
  const response = hash(`${secret}:${nonce}:${count}:${clientNonce}:auth:${hash(`${method}:${uri}`)}`)
  const fields = [
    `username="${user}"`,
    `realm=${quoted(realm)}`,
    `uri="${uri}"`,
    `algorithm=${algorithm}`,
    `nonce=${quoted(nonce)}`,
    `nc=${count}`,
    `cnonce="${clientNonce}"`,
    'qop=auth',
    `response="${response}"`,
    ...(opaque === undefined ? [] : [`opaque=${quoted(opaque)}`]),
  ]
  return `Digest ${fields.join(', ')}`
}

function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`
}
