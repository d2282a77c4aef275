/** The shape that the URLs of most BMCs share: `SCHEME://USER@HOST[:PORT]`, nothing after it. */
import { isIP } from 'node:net'
import { AppError } from '../../base/errors.ts'
import { type Trust, trustOf } from './trust.ts'

export interface UserAtHost {
  readonly host: string
  readonly port: number
  readonly user: string
}

/**
 * Reads a URL that names a user, a host (IPv6 in brackets) and perhaps a port.
 * @param form what such a URL looks like, for messages
 * @throws {AppError} `invalid`
 */
export function parseUserAtHost(text: string, form: string, defaultPort: number): UserAtHost {
  const wrong = (why: string) => new AppError('invalid', `Cannot read BMC URL "${text}": ${why}; it looks like ${form}`)
  if (!URL.canParse(text)) throw wrong('it is no URL')
  const url = new URL(text)
  if (url.hash || url.search || !/^\/?$/.test(url.pathname)) throw wrong('there is more after the address')
  // The URL class keeps hosts of schemes that it does not know as they are written: brackets and percent signs included.
  const host = decode(url.hostname.replace(/^\[(.*)\]$/, '$1'), text)
  if (host === '' || (host.includes(':') && isIP(host) !== 6)) throw wrong('it has no host')
  if (url.username === '') throw wrong('it names no user')
  return { host, port: url.port === '' ? defaultPort : Number(url.port), user: decode(url.username, text) }
}

/**
 * Takes `?fingerprint=SHA256` or `?insecure` off a URL: what it says of the BMC's certificate.
 * @throws {AppError} `invalid` when it is no fingerprint
 */
export function splitTrust(text: string): { rest: string; trust?: Trust } {
  const [, rest, name, , value = ''] = /^([^?#]*)\?(fingerprint|insecure)(=([^&#]*))?$/.exec(text) ?? []
  if (rest === undefined || name === undefined) return { rest: text }
  const refuse = (why: string) => new AppError('invalid', `Cannot read BMC URL "${text}": ${why}`)
  return { rest, trust: trustOf({ [name]: value }, refuse) }
}

/** `10.0.3.7:623`, `[fd00::7]:623` */
export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function decode(part: string, text: string): string {
  try {
    return decodeURIComponent(part)
  } catch (cause) {
    throw new AppError(
      'invalid',
      `Cannot read BMC URL "${text}": "${part}" has a percent sign that stands for nothing`,
      { cause },
    )
  }
}
