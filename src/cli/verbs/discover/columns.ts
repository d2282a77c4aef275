/** BMCs that were found, as `discover scan` and `discover ls` print them. */
import type { DiscoveredBmc } from '../../../model/discovery.ts'
import type { Column } from '../../output/list.ts'
import { printable } from '../../output/table.ts'
import type { Session } from '../../session.ts'

export const COLUMNS: readonly Column<DiscoveredBmc>[] = [
  { field: 'Address', heading: 'ADDRESS', value: ({ address }) => address },
  { field: 'Redfish', heading: 'REDFISH', value: ({ redfish }) => (redfish ? (redfish.version ?? 'yes') : '') },
  { field: 'IPMI', heading: 'IPMI', value: ({ ipmi }) => (ipmi ? (ipmi.version ?? 'yes') : '') },
  {
    field: 'Vendor',
    heading: 'VENDOR',
    value: ({ redfish, systems }) => systems[0]?.system.manufacturer ?? redfish?.vendor ?? '',
  },
  {
    field: 'Product',
    heading: 'PRODUCT',
    value: ({ redfish, systems }) => systems[0]?.system.model ?? redfish?.product ?? '',
  },
  {
    field: 'Systems',
    heading: 'SYSTEMS',
    value: ({ systems, crawledAt }) => (crawledAt === undefined ? 'not crawled' : String(systems.length)),
  },
  {
    field: 'Serials',
    heading: 'SERIALS',
    value: ({ systems }) => systems.flatMap(({ system }) => system.serial ?? []).join(','),
    hidden: true,
  },
  { field: 'Fingerprint', heading: 'FINGERPRINT', value: ({ redfish }) => redfish?.fingerprint ?? '', hidden: true },
  { field: 'Findings', heading: 'FINDINGS', value: (bmc) => String(findingsOf(bmc).length) },
]

/** On stderr: each weakness once, with the BMCs that have it. */
export function tellFindings(session: Session, bmcs: readonly DiscoveredBmc[]): void {
  const having = new Map<string, string[]>()
  for (const bmc of bmcs)
    for (const what of new Set(findingsOf(bmc))) having.set(what, [...(having.get(what) ?? []), bmc.address])
  for (const [what, addresses] of having) {
    const more = addresses.length > 4 ? ` and ${addresses.length - 4} more` : ''
    session.note(printable(`finding: ${addresses.slice(0, 4).join(', ')}${more}: ${what}`))
  }
}

function findingsOf({ findings, systems }: DiscoveredBmc): string[] {
  return [...findings, ...systems.flatMap((system) => system.findings)].map(({ what }) => what)
}
