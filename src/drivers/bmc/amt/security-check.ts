/** What is insecure about Intel AMT, by what it says of itself and by how it is spoken to. Nothing is tried. */
import { AppError } from '../../../base/errors.ts'
import type { BmcFinding } from '../../../model/bmc.ts'
import { parseInstance, softwareIdentity } from '../../../wire/wsman/amt.ts'
import { className } from '../../../wire/wsman/envelope.ts'
import type { WsmanClient } from './wsman-client.ts'

/** What was found out; undefined where the firmware does not say. */
export interface AmtEvidence {
  /** As AMT shows it: `11.0.25`. */
  readonly version: string | undefined
  /** `3001`; the fourth part of the version of Intel's lists. */
  readonly build: string | undefined
  readonly isTls: boolean
}

/** @throws {AppError} as the operations of WsmanClient */
export async function checkAmt(client: WsmanClient, isTls: boolean, signal?: AbortSignal): Promise<BmcFinding[]> {
  const version = await versionOf(client, 'AMT', signal)
  return judgeAmt({ version, build: await versionOf(client, 'Build Number', signal), isTls })
}

/** The findings, the worst first. */
export function judgeAmt({ version, build, isTls }: AmtEvidence): BmcFinding[] {
  const found: BmcFinding[] = []
  const firmware = [version ?? 'without a version', build].filter((part) => part !== undefined).join(' build ')
  const letsIn = letsAnybodyIn(version, build)
  if (letsIn !== false)
    found.push({
      finding: 'firmware-at-risk',
      severity: letsIn === true ? 'critical' : 'warning',
      message: `firmware ${firmware} ${letsIn === true ? 'lets' : 'may let'} anybody log in with an empty proof (CVE-2017-5689)`,
      help: 'bring the firmware of the machine up to a version whose build number is 3000 or more (INTEL-SA-00075), or switch AMT off',
    })
  if (!isTls)
    found.push({
      finding: 'no-encryption',
      severity: 'warning',
      message: 'it is spoken to without TLS: what is asked and answered can be read and changed on the way',
      help: 'switch TLS on in AMT, then: bareboat machine set M --bmc amts://USER@HOST',
    })
  return found
}

/**
 * INTEL-SA-00075: versions 6 to 10, 11.0, 11.5 and 11.6 take an empty response of digest authentication for the right one; builds from
 * 3000 on are mended. @returns undefined where the firmware says too little
 */
function letsAnybodyIn(version: string | undefined, build: string | undefined): boolean | undefined {
  const parts = /^(\d{1,4})\.(\d{1,4})(?:\.|$)/.exec(version ?? '')
  if (!parts) return undefined
  const [major, minor] = [Number(parts[1]), Number(parts[2])]
  const isOfThem = (major >= 6 && major <= 10) || (major === 11 && [0, 5, 6].includes(minor))
  if (!isOfThem) return false
  return /^\d{1,6}$/.test(build ?? '') ? Number(build) < 3000 : undefined
}

async function versionOf(client: WsmanClient, id: string, signal?: AbortSignal): Promise<string | undefined> {
  const resource = softwareIdentity(id)
  try {
    const fields = new Map(parseInstance(await client.get(resource, signal), className(resource)))
    const value = fields.get('InstanceID') === id ? fields.get('VersionString') : undefined
    // Printed: what is longer is no version.
    return typeof value === 'string' && /^[\w.-]{1,32}$/.test(value) ? value : undefined
  } catch (error) {
    if (error instanceof AppError && error.code === 'unsupported') return undefined
    throw error
  }
}
