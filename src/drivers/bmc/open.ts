/** From a BMC's URL to its driver. */
import { isIP } from 'node:net'
import { AppError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { BmcPort } from '../../services/power/power-port.ts'
import { RMCP_PORT } from '../../wire/rmcp/rmcp.ts'
import { createHttpBmc } from './http/http-bmc.ts'
import type { SessionBudget } from './ipmi/session-budget.ts'
import { createIpmiBmc } from './ipmi/ipmi-bmc.ts'

export type BmcUrl =
  | { readonly kind: 'ipmi'; readonly host: string; readonly port: number; readonly user: string }
  | { readonly kind: 'http'; readonly url: string }

const FORMS = 'ipmi://USER@HOST[:PORT] or http://HOST[:PORT][/PATH]'

/**
 * Reads `ipmi://user@host[:port]` (port 623 by default; IPv6 in brackets) and `http[s]://host[:port][/path]`.
 * The message of an error never repeats a URL that may hold a password.
 * @throws {AppError} `invalid`
 */
export function parseBmcUrl(text: string): BmcUrl {
  // A URL with a password is refused before anything else may quote it.
  if (/^[^/]*\/\/[^/?#]*:[^/?#]*@/.test(text))
    throw new AppError(
      'invalid',
      'Cannot use a BMC URL with a password in it: URLs end in logs and process lists; give the password apart',
    )
  if (!URL.canParse(text)) throw new AppError('invalid', `Cannot read BMC URL "${text}"; it looks like ${FORMS}`)
  const url = new URL(text)
  if (url.hash || (url.protocol === 'ipmi:' && (url.search || !/^\/?$/.test(url.pathname))))
    throw new AppError(
      'invalid',
      `Cannot read BMC URL "${text}": there is more after the address; it looks like ${FORMS}`,
    )
  switch (url.protocol) {
    case 'ipmi:':
      return parseIpmi(url, text)
    case 'http:':
    case 'https:':
      if (url.username)
        throw new AppError('invalid', `Cannot use a user in BMC URL "${text}": the power API knows none`)
      return { kind: 'http', url: url.href }
    default:
      throw new AppError(
        'invalid',
        `Cannot read BMC URL "${text}": "${url.protocol.slice(0, -1)}" is no kind of BMC; it looks like ${FORMS}`,
      )
  }
}

/**
 * Opens the driver for a URL. Nothing is sent before the first operation.
 * @param password of the URL's user; undefined for BMCs without
 * @param budget bounds the IPMI sessions of all BMCs that share it
 * @throws {AppError} `invalid` as parseBmcUrl and createIpmiBmc
 */
export function openBmc(
  url: string,
  password: string | undefined,
  log: Log,
  { budget }: { budget?: SessionBudget } = {},
): BmcPort {
  const parsed = parseBmcUrl(url)
  if (parsed.kind === 'http') return createHttpBmc({ url: parsed.url, log })
  if (password === undefined)
    throw new AppError('invalid', `Cannot use BMC "${url}" without a password; give it apart from the URL`)
  return createIpmiBmc({ ...parsed, password, log, budget })
}

function parseIpmi(url: URL, text: string): BmcUrl {
  // The URL class keeps hosts of schemes that it does not know as they are written: brackets and percent signs included.
  const host = decode(url.hostname.replace(/^\[(.*)\]$/, '$1'), text)
  if (host === '' || (host.includes(':') && isIP(host) !== 6))
    throw new AppError('invalid', `Cannot read BMC URL "${text}": it has no host; it looks like ${FORMS}`)
  if (url.username === '')
    throw new AppError('invalid', `Cannot read BMC URL "${text}": it names no user; it looks like ${FORMS}`)
  return {
    kind: 'ipmi',
    host,
    port: url.port === '' ? RMCP_PORT : Number(url.port),
    user: decode(url.username, text),
  }
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
