/** From a BMC's URL to its driver. Each driver reads its own URL. */
import { AppError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { BmcPort, BmcTap } from '../../services/power/power-port.ts'
import { RMCP_PORT } from '../../wire/rmcp/rmcp.ts'
import { AMT_FORM, createAmtBmc, parseAmtUrl, type AmtUrl } from './amt/amt-bmc.ts'
import { refuseDefaultPassword } from './default-password.ts'
import { createHttpBmc } from './http/http-bmc.ts'
import type { SessionBudget } from './ipmi/session-budget.ts'
import { createIpmiBmc } from './ipmi/ipmi-bmc.ts'
import { observeAs } from './recording/http-tap.ts'
import { createRedfishBmc } from './redfish/redfish-bmc.ts'
import { parseRedfishUrl, REDFISH_FORM, type RedfishUrl } from './redfish/redfish-url.ts'
import { createManualBmc, MANUAL_FORM, parseManualUrl, type ManualUrl } from './manual/manual-bmc.ts'
import { createPikvmBmc, parsePikvmUrl, PIKVM_FORM, type PikvmUrl } from './pikvm/pikvm-bmc.ts'
import type { Trust } from './trust.ts'
import { parseUserAtHost, splitTrust, type UserAtHost } from './user-at-host.ts'
import { createWolBmc, parseWolUrl, WOL_FORM, type WolUrl } from './wol/wol-bmc.ts'

export type BmcUrl =
  | ({ readonly kind: 'ipmi' } & UserAtHost)
  | RedfishUrl
  | { readonly kind: 'http'; readonly url: string; readonly trust?: Trust }
  | AmtUrl
  | PikvmUrl
  | ManualUrl
  | WolUrl

const IPMI_FORM = 'ipmi://USER@HOST[:PORT]'
const FORMS = [IPMI_FORM, REDFISH_FORM, 'http://HOST[:PORT][/PATH]', AMT_FORM, PIKVM_FORM, WOL_FORM, MANUAL_FORM].join(
  ' or ',
)

const PARSERS: Readonly<Record<string, (text: string) => BmcUrl>> = {
  ipmi: (text) => ({ kind: 'ipmi', ...parseUserAtHost(text, IPMI_FORM, RMCP_PORT) }),
  redfish: parseRedfishUrl,
  'redfish+http': parseRedfishUrl,
  http: parseHttp,
  https: parseHttp,
  amt: parseAmtUrl,
  amts: parseAmtUrl,
  pikvm: parsePikvmUrl,
  wol: parseWolUrl,
  manual: parseManualUrl,
}

/**
 * Reads the URL of a BMC. The message of an error never repeats a URL that may hold a password.
 * @throws {AppError} `invalid`
 */
export function parseBmcUrl(text: string): BmcUrl {
  // A URL with a password is refused before anything else may quote it.
  if (/^[^/]*\/\/[^/?#]*:[^/?#]*@/.test(text))
    throw new AppError(
      'invalid',
      'Cannot use a BMC URL with a password in it: URLs end in logs and process lists; give the password apart',
    )
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase()
  const parse = scheme !== undefined && Object.hasOwn(PARSERS, scheme) ? PARSERS[scheme] : undefined
  if (parse) return parse(text)
  const why = scheme === undefined || !URL.canParse(text) ? '' : `"${scheme}" is no kind of BMC; `
  throw new AppError('invalid', `Cannot read BMC URL "${text}": ${why}it looks like ${FORMS}`)
}

export interface BmcDeps {
  /** Bounds the IPMI sessions of all BMCs that share it. */
  readonly budget?: SessionBudget
  /** MAC addresses of the machine, for drivers that speak to its network cards. */
  readonly macs?: readonly string[]
  readonly tap?: BmcTap | undefined
}

/**
 * Opens the driver for a URL. Nothing is sent before the first operation.
 * @param password of the URL's user; undefined for BMCs without
 * @throws {AppError} `invalid` as parseBmcUrl and the drivers; `forbidden` for a password that some maker ships
 */
export function openBmc(
  url: string,
  password: string | undefined,
  log: Log,
  { budget, macs = [], tap }: BmcDeps = {},
): BmcPort {
  const parsed = parseBmcUrl(url)
  const observe = tap && observeAs(tap)
  const needPassword = (): string => {
    if (password !== undefined) return password
    throw new AppError('invalid', `Cannot use BMC "${url}" without a password; give it apart from the URL`)
  }
  const needOwnPassword = (user: string): string => {
    const word = needPassword()
    refuseDefaultPassword(user, word, url)
    return word
  }
  switch (parsed.kind) {
    case 'http':
      return createHttpBmc({ ...parsed, log, observe })
    case 'ipmi':
      // It refuses a maker's password itself: `machine bmc check` tells of it, without a login.
      return createIpmiBmc({ ...parsed, password: needPassword(), log, budget, tap })
    case 'amt':
      return createAmtBmc({ ...parsed, password: needOwnPassword(parsed.user), log, observe })
    case 'pikvm':
      return createPikvmBmc({ ...parsed, password: needOwnPassword(parsed.user), log, observe })
    case 'wol':
      return createWolBmc({ ...parsed, macs: parsed.macs.length > 0 ? parsed.macs : macs, password, log })
    case 'redfish':
      return createRedfishBmc({ ...parsed, password: needOwnPassword(parsed.user), log, observe })
    case 'manual':
      return createManualBmc()
    default:
      return parsed satisfies never
  }
}

function parseHttp(text: string): BmcUrl {
  const wrong = (why: string) => new AppError('invalid', `Cannot read BMC URL "${text}": ${why}`)
  const { rest, trust } = splitTrust(text)
  if (!URL.canParse(rest)) throw wrong('it looks like http://HOST[:PORT][/PATH]')
  const url = new URL(rest)
  if (url.hash) throw wrong('there is more after the address')
  if (url.username) throw wrong('it names a user, and the power API knows none')
  return { kind: 'http', url: url.href, ...(trust ? { trust } : {}) }
}
