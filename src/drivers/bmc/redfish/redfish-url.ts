/** The URL of a BMC that speaks Redfish. */
import { AppError } from '../../../base/errors.ts'
import { trustOf, type Trust } from '../trust.ts'
import { hostPort, parseUserAtHost } from '../user-at-host.ts'

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
  if (isPlain && (fingerprint ?? insecure) !== undefined) throw refuse('there is no certificate without TLS')
  const origin = `${isPlain ? 'http' : 'https'}://${hostPort(host, port)}`
  if (!URL.canParse(origin)) throw refuse('its host is no name of a host')
  return { kind: 'redfish', origin, user, system, trust: trustOf({ fingerprint, insecure }, refuse), auth }
}
