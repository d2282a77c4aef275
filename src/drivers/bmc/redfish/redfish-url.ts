/** The URL of a BMC that speaks Redfish. */
import { AppError } from '../../../base/errors.ts'
import { trustOf, type Trust } from '../trust.ts'
import type { ConsoleWish } from './console.ts'
import { parseHostKey } from './ssh-console.ts'
import { hostPort, parseUserAtHost } from '../user-at-host.ts'

export interface RedfishUrl extends ConsoleWish {
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
const OPTIONS =
  'system=ID, fingerprint=SHA256, insecure, auth=session|basic, console=…, hostkey=SHA256:… and command=COMMAND'
const CONSOLES = ['ssh', 'websocket', 'ipmi', 'none'] as const

/**
 * Reads `redfish://user@host[:port][?option&…]`, port 443 by default; `redfish+http://` is without TLS, port 80. Options: `system=ID`,
 * `fingerprint=SHA256` of the certificate, `insecure` (whoever answers is trusted), `auth=session` or `auth=basic`; of the console:
 * `console=ssh`, `websocket`, `ipmi` or `none`, `hostkey=SHA256:…` of the SSH server, `command=COMMAND` that its shell wants.
 * @throws {AppError} `invalid`
 */
export function parseRedfishUrl(text: string): RedfishUrl {
  const [base = '', query] = text.split(/\?(.*)/s, 2)
  const isPlain = /^redfish\+http:/i.test(base)
  const { host, port, user } = parseUserAtHost(base, REDFISH_FORM, isPlain ? 80 : 443)
  const refuse = (why: string) => new AppError('invalid', `Cannot read BMC URL "${text}": ${why}`)
  const pairs = [...new URLSearchParams(query ?? '')]
  const { system, fingerprint, insecure, auth = 'auto', hostkey, command, ...rest } = Object.fromEntries(pairs)
  const { console, ...others } = rest
  const [other] = Object.keys(others)
  if (other !== undefined) throw refuse(`it has no option "${other}", but ${OPTIONS}`)
  if (new Set(pairs.map(([name]) => name)).size < pairs.length) throw refuse('it has an option twice')
  if (system === '') throw refuse('its system is empty')
  if (auth !== 'auto' && auth !== 'session' && auth !== 'basic') throw refuse('auth is session or basic')
  if (isPlain && (fingerprint ?? insecure) !== undefined) throw refuse('there is no certificate without TLS')
  const wish = consoleWish({ console, hostkey, command }, refuse)
  const origin = `${isPlain ? 'http' : 'https'}://${hostPort(host, port)}`
  if (!URL.canParse(origin)) throw refuse('its host is no name of a host')
  return { kind: 'redfish', origin, user, system, trust: trustOf({ fingerprint, insecure }, refuse), auth, ...wish }
}

function consoleWish(
  { console, hostkey, command }: Readonly<Record<string, string | undefined>>,
  refuse: (why: string) => AppError,
): ConsoleWish {
  const way = CONSOLES.find((one) => one === console)
  if (console !== undefined && way === undefined) throw refuse(`console is ${CONSOLES.join(', ')}`)
  // A plus sign of base64 is a space to URLs.
  const hostKey = hostkey === undefined ? undefined : parseHostKey(hostkey.replaceAll(' ', '+'))
  if (hostkey !== undefined && hostKey === undefined)
    throw refuse('its hostkey is no fingerprint as ssh-keygen -l prints it, SHA256: and 43 characters')
  if (command !== undefined && !/^[\x20-\x7e]{1,200}$/.test(command)) throw refuse('its command is printable ASCII')
  return {
    ...(way === undefined ? {} : { console: way }),
    ...(hostKey === undefined ? {} : { hostKey }),
    ...(command === undefined ? {} : { command }),
  }
}
