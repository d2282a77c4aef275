/** What is insecure about a BMC that speaks IPMI. The judgements are pure; what they judge is read elsewhere. */
import type { BmcFinding, BmcUser } from '../../../model/bmc.ts'
import { COMMANDS } from '../../../wire/ipmi/commands.ts'
import { LAN_PARAMETER, suitePrivileges } from '../../../wire/ipmi/lan-commands.ts'
import type { Openness } from './outside-session.ts'
import type { Ask } from './records.ts'
import { orDeclined } from './sensors.ts'
import { NULL_USER_ID } from './users.ts'

/** What was found out; undefined where it could not be. */
export interface Evidence {
  readonly openness: Openness
  readonly isVendorDefault: boolean
  readonly passwordBytes: number
  /** The suite of our own session. */
  readonly cipherSuite: number | undefined
  readonly users: readonly BmcUser[] | undefined
  /** Suite → highest level that it gives. */
  readonly suites: ReadonlyMap<number, number> | undefined
}

/** Suites that authenticate, sign and encrypt with algorithms that stand (table 22-20). */
const SOUND_SUITES: ReadonlySet<number> = new Set([3, 17])
const SEVERITIES: readonly BmcFinding['severity'][] = ['critical', 'warning', 'info']
/** Below this a password is soon found from what RAKP 2 tells anyone who knows the user's name (CVE-2013-4786). */
const LONG_PASSWORD_BYTES = 16

/** Which cipher suites are open to whom. Undefined where the BMC does not say. */
export async function readSuites(ask: Ask, signal?: AbortSignal): Promise<Map<number, number> | undefined> {
  const parameter = (number: number) => orDeclined(ask(COMMANDS.getLanParameter, { parameter: number }, signal))
  const ids = await parameter(LAN_PARAMETER.suiteIds)
  const levels = ids && (await parameter(LAN_PARAMETER.suitePrivileges))
  if (!levels) return undefined
  const count = (await parameter(LAN_PARAMETER.suiteCount))?.[0] ?? 0
  return suitePrivileges(ids.subarray(0, 1 + Math.min(16, count & 0x1f)), levels)
}

/** The findings, the worst first. */
export function judge(evidence: Evidence): BmcFinding[] {
  const { openness, users, suites } = evidence
  const found: (BmcFinding | false | undefined)[] = [
    evidence.isVendorDefault && {
      finding: 'vendor-default-password',
      severity: 'critical',
      message: 'the password that is set for this BMC is one that its maker ships it with; it is not used',
      help: 'set a password of 16 to 20 random characters on the BMC, then here: bareboat machine set M --bmc-password-file FILE',
    },
    (openness.takesSuite0 === true || isOpen(suites, 0)) && {
      finding: 'cipher-suite-0',
      severity: 'critical',
      message: 'cipher suite 0 is enabled: whoever knows a user name is let in without a password (CVE-2013-4782)',
      help: 'disable cipher suite 0: ipmitool lan set 1 cipher_privs with X in its place',
    },
    nullUserFinding(openness, users),
    openness.authentication?.allowsNoAuthentication && {
      finding: 'no-authentication',
      severity: 'critical',
      message: 'sessions of IPMI 1.5 without authentication (type "none") are offered',
      help: 'ipmitool lan set 1 auth ADMIN MD5, or switch IPMI 1.5 off',
    },
    openness.authentication?.hasIpmi15 && {
      finding: 'ipmi-1.5',
      severity: 'warning',
      message: 'sessions of IPMI 1.5 are offered: nothing in them is encrypted; they are never used from here',
      help: 'switch IPMI 1.5 off where the BMC can, and keep its network apart',
    },
    weakSuitesFinding(suites),
    evidence.passwordBytes < LONG_PASSWORD_BYTES && {
      finding: 'short-password',
      severity: 'warning',
      message: `the password has fewer than ${LONG_PASSWORD_BYTES} bytes: IPMI 2.0 gives a hash of it to whoever knows the user name (CVE-2013-4786)`,
      help: 'set one of 16 to 20 random characters',
    },
    evidence.cipherSuite === 3 && {
      finding: 'cipher-suite-3',
      severity: 'info',
      message: 'the session uses cipher suite 3 (SHA-1): the BMC does not offer 17 (SHA-256)',
      help: 'a newer firmware may have it',
    },
  ]
  return found
    .filter((finding): finding is BmcFinding => typeof finding === 'object')
    .toSorted((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity))
}

function nullUserFinding({ authentication }: Openness, users: readonly BmcUser[] | undefined): BmcFinding | undefined {
  const isListed = users?.some((u) => u.name === '' && u.id === NULL_USER_ID && u.isEnabled !== false)
  if (isListed !== true && !authentication?.hasNullUser && !authentication?.allowsAnonymous) return undefined
  return {
    finding: 'null-user',
    severity: authentication?.allowsAnonymous ? 'critical' : 'warning',
    message: authentication?.allowsAnonymous
      ? 'anonymous login is enabled: the user without a name has no password either'
      : 'the user without a name is enabled',
    help: 'disable it: ipmitool user disable 1',
  }
}

function weakSuitesFinding(suites: ReadonlyMap<number, number> | undefined): BmcFinding | undefined {
  const weak = [...(suites ?? [])]
    .filter(([id, level]) => id !== 0 && level > 0 && !SOUND_SUITES.has(id))
    .map(([id]) => id)
  if (weak.length === 0) return undefined
  return {
    finding: 'weak-cipher-suites',
    severity: 'warning',
    message: `cipher suites ${weak.join(', ')} are enabled: they leave out authentication, integrity or encryption, or use RC4 or MD5`,
    help: 'leave 17 (and 3, where a tool needs it) enabled and no other',
  }
}

function isOpen(suites: ReadonlyMap<number, number> | undefined, id: number): boolean {
  return (suites?.get(id) ?? 0) > 0
}
