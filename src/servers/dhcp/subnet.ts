/** Subnets, their pools, and IPv4 addresses as numbers. */
import { AppError } from '../../base/errors.ts'

/** What an operator says of a subnet. */
export interface SubnetConfig {
  /** `10.77.0.0/24` */
  readonly cidr: string
  /** First and last address to give to machines without a fixed address; empty: only fixed addresses. */
  readonly pools: readonly (readonly [first: string, last: string])[]
  readonly routers?: readonly string[]
  readonly nameServers?: readonly string[]
  readonly ntpServers?: readonly string[]
  readonly domainName?: string
  /** Seconds; long enough that no lease ends during a download. */
  readonly leaseSeconds?: number
}

export interface Subnet {
  readonly cidr: string
  readonly network: number
  readonly mask: number
  readonly pools: readonly { readonly first: number; readonly last: number }[]
  readonly routers: readonly string[]
  readonly nameServers: readonly string[]
  readonly ntpServers: readonly string[]
  readonly domainName: string
  readonly leaseSeconds: number
}

const DEFAULT_LEASE_SECONDS = 12 * 3600
/** More than this in one pool is a slip of the pen. */
const MAX_POOL = 1 << 20

/** @throws {AppError} invalid, when an address is none or a pool is not within its subnet */
export function openSubnet(config: SubnetConfig): Subnet {
  const wrong = (why: string) => new AppError('invalid', `Cannot serve subnet "${config.cidr}": ${why}`)
  const [address, length] = config.cidr.split('/')
  const bits = Number(length)
  if (!address || !Number.isInteger(bits) || bits < 8 || bits > 30) throw wrong('it is not written as 10.0.0.0/24')
  const mask = (-1 << (32 - bits)) >>> 0
  const network = (toNumber(address) & mask) >>> 0
  const pools = config.pools.map(([from, to]) => ({ first: toNumber(from), last: toNumber(to) }))
  for (const [index, { first, last }] of pools.entries()) {
    const written = config.pools[index]!.join(' to ')
    if (first > last || last - first >= MAX_POOL) throw wrong(`pool ${written} is empty or too large`)
    if (!within(first, network, mask) || !within(last, network, mask)) throw wrong(`pool ${written} is not in it`)
    if (first === network || last === (network | ~mask) >>> 0) throw wrong(`pool ${written} has its broadcast address`)
  }
  const leaseSeconds = config.leaseSeconds ?? DEFAULT_LEASE_SECONDS
  if (!Number.isInteger(leaseSeconds) || leaseSeconds < 10 || leaseSeconds > 2 ** 31)
    throw wrong(`a lease of ${leaseSeconds} seconds; 10 is the least`)
  return {
    cidr: config.cidr,
    network,
    mask,
    pools,
    routers: config.routers ?? [],
    nameServers: config.nameServers ?? [],
    ntpServers: config.ntpServers ?? [],
    domainName: config.domainName ?? '',
    leaseSeconds,
  }
}

/** The subnet that holds `address`, or undefined. */
export function subnetOf(subnets: readonly Subnet[], address: string): Subnet | undefined {
  const number = toNumber(address)
  return subnets.find((subnet) => within(number, subnet.network, subnet.mask))
}

export function isInPool(subnet: Subnet, address: string): boolean {
  const number = toNumber(address)
  return subnet.pools.some(({ first, last }) => number >= first && number <= last)
}

/** @throws {AppError} invalid, when the text is not an IPv4 address */
export function toNumber(address: string): number {
  const parts = address.split('.')
  let number = 0
  for (const part of parts) number = number * 256 + (/^\d{1,3}$/.test(part) && Number(part) < 256 ? Number(part) : NaN)
  if (parts.length !== 4 || Number.isNaN(number)) throw new AppError('invalid', `"${address}" is not an IPv4 address`)
  return number
}

export function toAddress(number: number): string {
  return `${number >>> 24}.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}`
}

function within(number: number, network: number, mask: number): boolean {
  return (number & mask) >>> 0 === network
}
