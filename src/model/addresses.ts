/** Addresses that are kept for machines. */
import type { Machine } from './machine.ts'

/** Every address that is kept for a machine, each once. */
export function addressesOf({ ip, interfaces = [] }: Pick<Machine, 'ip' | 'interfaces'>): string[] {
  const all = interfaces.flatMap(({ addresses }) => addresses.map((address) => address.ip))
  return [...new Set(ip === undefined ? all : [ip, ...all])]
}

/** The address that DHCP gives to one interface of a machine. */
export function addressOf(
  { ip, macs, interfaces = [] }: Pick<Machine, 'ip' | 'macs' | 'interfaces'>,
  mac: string,
): string | undefined {
  if (ip !== undefined && (mac === macs[0] || interfaces.length === 0)) return ip
  return interfaces.find((one) => one.mac === mac)?.addresses.find((address) => !address.ip.includes(':'))?.ip
}
