/** Firmware of BMCs that lets in who has no password, by what a BMC says of itself. Nothing is tried. Pure. */
import type { InventoryFinding } from '../../model/inventory.ts'

/** What a Redfish service says of itself: its root's Vendor and Product, its manager's Model and FirmwareVersion. */
export interface FirmwareFacts {
  readonly vendor?: string | undefined
  readonly product?: string | undefined
  readonly model?: string | undefined
  readonly version?: string | undefined
}

interface Risk {
  readonly applies: (facts: FirmwareFacts) => boolean
  /** The first version without the fault; undefined where the version that a BMC shows does not tell. */
  readonly mended: string | undefined
  readonly what: string
}

const RISKS: readonly Risk[] = [
  {
    // HPESBHF03769: a Connection header of 29 characters is taken for a login.
    applies: ({ model }) => /^iLO 4\b/i.test(model ?? ''),
    mended: '2.53',
    what: 'lets anybody log in (CVE-2017-12542)',
  },
  {
    // iDRAC7 and iDRAC8 call themselves by the generation of their server.
    applies: ({ model }) => /^1[23]G (Monolithic|Modular|DCS)\b/i.test(model ?? ''),
    mended: '2.52.52.52',
    what: 'runs what anybody sends it (CVE-2018-1207)',
  },
  {
    // AMI-SA-2025003: mended in AMI's own 12.7 and 13.5, from which makers number on as they like.
    applies: ({ vendor, product }) => vendor === 'AMI' || /^AMI Redfish/.test(product ?? ''),
    mended: undefined,
    what: 'is of AMI, whose Redfish let anybody log in until March 2025 (CVE-2024-54085)',
  },
]

/** @returns what is known to be at risk, and what may be where the version does not tell */
export function firmwareRisks(facts: FirmwareFacts): InventoryFinding[] {
  return RISKS.filter(({ applies, mended }) => applies(facts) && !isMended(facts.version, mended)).map(
    ({ mended, what }) => ({
      kind: 'firmware-at-risk',
      what: `firmware "${facts.version ?? 'without a version'}" ${what}: ${
        mended === undefined
          ? 'its maker says from which version on it is mended'
          : `${mended} does not; bring it up to date`
      }`,
    }),
  )
}

function isMended(version: string | undefined, mended: string | undefined): boolean {
  if (mended === undefined) return false
  // "iLO 4 v2.50", "2.40.40.40".
  const numbers = /\d+(?:\.\d+)+/
    .exec(version ?? '')?.[0]
    .split('.')
    .map(Number)
  // Nothing is said of what shows no version.
  if (!numbers) return true
  for (const [at, wanted] of mended.split('.').map(Number).entries()) {
    const one = numbers[at] ?? 0
    if (one !== wanted) return one > wanted
  }
  return true
}
