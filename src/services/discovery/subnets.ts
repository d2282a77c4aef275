/** Which IPv4 addresses a scan asks. */
import { isIPv4 } from 'node:net'
import { AppError } from '../../base/errors.ts'
import { SCAN_LIMIT } from '../../model/discovery.ts'

const FORMS = 'a subnet such as 10.0.3.0/24, an address, or a range such as 10.0.3.1-10.0.3.20'

/**
 * Every address of the subnets, each once, in the order given. Of a subnet of more than two addresses the first and the last are
 * left out: they are the network's and its broadcast.
 * @throws {AppError} `invalid` for what is no subnet, and for more than SCAN_LIMIT addresses in all
 */
export function addressesOf(subnets: readonly string[]): string[] {
  const ranges = subnets.map(rangeOf)
  const count = ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0)
  if (count > SCAN_LIMIT)
    throw new AppError(
      'invalid',
      `Cannot scan ${count} addresses at once: at most ${SCAN_LIMIT} (a /16); scan the subnets one after the other`,
    )
  const addresses = new Set<string>()
  for (const [first, last] of ranges) for (let at = first; at <= last; at += 1) addresses.add(textOf(at))
  return [...addresses]
}

function rangeOf(text: string): [first: number, last: number] {
  const [from = '', to] = text.split('-')
  if (to !== undefined && isIPv4(from) && isIPv4(to) && numberOf(from) <= numberOf(to))
    return [numberOf(from), numberOf(to)]
  const [, address = '', bits] = /^([\d.]+)(?:\/(\d{1,2}))?$/.exec(text) ?? []
  if (!isIPv4(address) || Number(bits ?? 32) > 32)
    throw new AppError('invalid', `Cannot scan "${text}": it is not ${FORMS}`)
  const size = 2 ** (32 - Number(bits ?? 32))
  const first = Math.floor(numberOf(address) / size) * size
  return size > 2 ? [first + 1, first + size - 2] : [first, first + size - 1]
}

function numberOf(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

function textOf(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.')
}
