/** The network interface that machines are on. */
import { execFileSync } from 'node:child_process'
import { networkInterfaces } from 'node:os'
import ipaddr from 'ipaddr.js'
import { AppError } from '../base/errors.ts'

export interface Interface {
  readonly name: string
  /** Our first IPv4 address on it. */
  readonly address: string
  /** `172.29.0.0/24` */
  readonly cidr: string
}

/** @throws {AppError} invalid when there is no such interface or it has no IPv4 address, naming those that have */
export function findInterface(name: string): Interface {
  const all = networkInterfaces()
  const cidr = all[name]?.find((address) => address.family === 'IPv4')?.cidr ?? cidrWithoutCarrier(name)
  if (!cidr) {
    const usable = Object.keys(all).filter((other) => all[other]?.some((address) => address.family === 'IPv4'))
    throw new AppError(
      'invalid',
      `Cannot serve machines on interface "${name}": there is none of that name with an IPv4 address; interfaces with one are ${usable.join(', ')}`,
    )
  }
  const [address, bits] = cidr.split('/')
  const network = ipaddr.IPv4.networkAddressFromCIDR(cidr).toString()
  return { name, address: address!, cidr: `${network}/${bits}` }
}

/** Node lists only interfaces that have a carrier; a bridge without a machine that runs, or an unplugged card, has none. */
function cidrWithoutCarrier(name: string): string | undefined {
  try {
    const text = execFileSync('ip', ['-json', '-4', 'address', 'show', 'dev', name], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const links = JSON.parse(text.toString()) as { addr_info?: { local: string; prefixlen: number }[] }[]
    const own = links.flatMap((link) => link.addr_info ?? [])[0]
    return own && `${own.local}/${own.prefixlen}`
  } catch {
    return undefined
  }
}

/**
 * The addresses for machines without a fixed one: `FIRST-LAST`, or by default the upper half of the subnet.
 * @throws {AppError} invalid when the text is not a range
 */
export function rangeOf(text: string, iface: Interface): readonly [string, string] {
  if (text !== '') {
    const [first, last] = text.split('-').map((part) => part.trim())
    if (!first || !last || !ipaddr.IPv4.isValidFourPartDecimal(first) || !ipaddr.IPv4.isValidFourPartDecimal(last))
      throw new AppError(
        'invalid',
        `Cannot read config key dhcpRange: "${text}" is not FIRST-LAST, such as 10.0.0.100-10.0.0.199`,
      )
    return [first, last]
  }
  const network = number(ipaddr.IPv4.networkAddressFromCIDR(iface.cidr).octets)
  const broadcast = number(ipaddr.IPv4.broadcastAddressFromCIDR(iface.cidr).octets)
  return [dotted(network + Math.ceil((broadcast - network) / 2)), dotted(broadcast - 1)]
}

function number(octets: readonly number[]): number {
  return octets.reduce((sum, octet) => sum * 256 + octet, 0)
}

function dotted(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.')
}
