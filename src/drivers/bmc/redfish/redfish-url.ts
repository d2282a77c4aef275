/** The URL of a BMC that speaks Redfish. */
import { AppError } from '../../../base/errors.ts'
import { hostPort, parseUserAtHost } from '../user-at-host.ts'
import { parseFingerprint, type Trust } from './trust.ts'

export interface RedfishUrl {
  readonly kind: 'redfish'
  /** `https://host:port`, or `http://` where it was said. */
  readonly origin: string
  readonly user: string
  /** Last part of the path of its ComputerSystem. */
  readonly system: string | undefined
  readonly trust: Trust
  readonly auth: 'auto' | 'session' | 'basic'
}

export const REDFISH_FORM = 'redfish://USER@HOST[:PORT][?system=ID]'
const OPTIONS = 'system=ID, fingerprint=SHA256, insecure and auth=session|basic'

/**
 * Reads `redfish://user@host[:port][?option&…]`, port 443 by default; `redfish+http://` is without TLS, port 80. Options: `system=ID`,
 * `fingerprint=SHA256` of the certificate, `insecure` (whoever answers is trusted), `auth=session` or `auth=basic`.
 * @throws {AppError} `invalid`
 */
export function parseRedfishUrl(text: string): RedfishUrl {
  const [base = '', query] = text.split(/\?(.*)/s, 2)
  const isPlain = /^redfish\+http:/i.test(base)
  const { host, port, user } = parseUserAtHost(base, REDFISH_FORM, isPlain ? 80 : 443)
  const refuse = (why: string) => new AppError('invalid', `Cannot read BMC URL "${text}": ${why}`)
  const pairs = [...new URLSearchParams(query ?? '')]
  const { system, fingerprint, insecure, auth = 'auto', ...others } = Object.fromEntries(pairs)
  const [other] = Object.keys(others)
  if (other !== undefined) throw refuse(`it has no option "${other}", but ${OPTIONS}`)
  if (new Set(pairs.map(([name]) => name)).size < pairs.length) throw refuse('it has an option twice')
  if (system === '') throw refuse('its system is empty')
  if (auth !== 'auto' && auth !== 'session' && auth !== 'basic') throw refuse('auth is session or basic')
  if (insecure !== undefined && insecure !== '') throw refuse('insecure has no value: it is there or not')
  if (isPlain && (fingerprint ?? insecure) !== undefined) throw refuse('there is no certificate without TLS')
  if (fingerprint !== undefined && insecure !== undefined)
    throw refuse('a fingerprint is checked, and insecure checks nothing: one of them')
  const origin = `${isPlain ? 'http' : 'https'}://${hostPort(host, port)}`
  if (!URL.canParse(origin)) throw refuse('its host is no name of a host')
  return {
    kind: 'redfish',
    origin,
    user,
    system,
    trust: trustOf(fingerprint, insecure !== undefined, refuse),
    auth,
  }
}

function trustOf(fingerprint: string | undefined, isInsecure: boolean, refuse: (why: string) => AppError): Trust {
  if (isInsecure) return { kind: 'anyone' }
  if (fingerprint === undefined) return { kind: 'authorities' }
  const sha256 = parseFingerprint(fingerprint)
  if (sha256 === undefined) throw refuse('its fingerprint is not the SHA-256 of a certificate, 64 hex digits')
  return { kind: 'fingerprint', sha256 }
}
