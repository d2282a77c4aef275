/** The URL by which a machine's driver reaches the BMC that its system was crawled from. */
import { isIP } from 'node:net'
import type { DiscoveredBmc } from '../../model/discovery.ts'
import type { Inventory } from '../../model/inventory.ts'
import { parseBmcUrl } from '../bmc/open.ts'

/**
 * `redfish://USER@HOST[:PORT][?system=ID&fingerprint=…]`, trusting what the crawl trusted; `ipmi://USER@HOST` where no driver takes
 * that and the BMC speaks IPMI too, or nothing else. Undefined for a BMC that was never crawled.
 */
export function bmcUrlOf(
  { address, redfish, ipmi, user, trust, systems }: DiscoveredBmc,
  { system }: Inventory,
): string | undefined {
  if (user === undefined) return undefined
  if (!redfish) return ipmi && [ipmiUrl(user, hostOf(address), ipmi.port)].find(isAccepted)
  const { protocol, host, hostname } = new URL(redfish.origin)
  const name = encodeURIComponent(user)
  const query: string[] = []
  if (systems.length > 1 && system.url !== undefined)
    query.push(`system=${encodeURIComponent(system.url.split('/').at(-1)!)}`)
  if (protocol === 'https:' && trust === 'anyone') query.push('insecure')
  if (trust === 'first-use' && redfish.fingerprint !== undefined) query.push(`fingerprint=${redfish.fingerprint}`)
  const scheme = protocol === 'http:' ? 'redfish+http' : 'redfish'
  const urls = [`${scheme}://${name}@${host}${query.length > 0 ? `/?${query.join('&')}` : ''}`]
  // One IPMI session sees one system only.
  if (ipmi && systems.length === 1) urls.push(ipmiUrl(user, hostname, ipmi.port))
  return urls.find(isAccepted)
}

function ipmiUrl(user: string, host: string, port: number): string {
  return `ipmi://${encodeURIComponent(user)}@${host}:${port}`
}

/** As a URL has it, of what names a BMC: an address, with a port where its Redfish has another than that of HTTPS. */
function hostOf(address: string): string {
  if (isIP(address) === 6) return `[${address}]`
  return address.replace(/:\d+$/, '')
}

function isAccepted(url: string): boolean {
  try {
    parseBmcUrl(url)
    return true
  } catch {
    return false
  }
}
