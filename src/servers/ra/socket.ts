/** A raw ICMPv6 socket on one interface that hears router solicitations and sends advertisements. By `node:ffi` only. */
import { AppError } from '../../base/errors.ts'
import { ICMPV6_SOLICITATION } from '../../wire/ndp/packet.ts'
import { errnoName, int32, LINUX, openLibc } from '../libc.ts'

export interface NdpSocket extends AsyncDisposable {
  /** One message that waits, and its sender; undefined when none does. */
  receive(): { readonly bytes: Uint8Array; readonly from: Uint8Array } | undefined
  /** @param to 16 bytes  @returns the name of the error when it could not be sent, e.g. `ENETUNREACH` */
  send(bytes: Uint8Array, to: Uint8Array): string | undefined
}

/** `ff02::1` and `ff02::2`. */
export const ALL_NODES: Uint8Array = Uint8Array.fromHex('ff02' + '00'.repeat(13) + '01')
const ALL_ROUTERS = Uint8Array.fromHex('ff02' + '00'.repeat(13) + '02')

const MAX_BYTES = 1500
const SOCKADDR_IN6_BYTES = 28

/**
 * @throws {AppError} unsupported where `node:ffi` is missing, forbidden without CAP_NET_RAW, not_found without the interface, unreachable otherwise
 */
export async function openNdpSocket(interfaceName: string): Promise<NdpSocket> {
  const refuse = (code: 'unsupported' | 'forbidden' | 'not_found' | 'unreachable', why: string) =>
    new AppError(code, `Cannot advertise a router on "${interfaceName}": ${why}`)
  const libc = await openLibc()
  if (!libc) throw refuse('unsupported', 'this Node has no node:ffi')
  const ifIndex = libc.ifIndex(interfaceName)
  if (ifIndex === 0) throw refuse('not_found', 'there is no such interface')
  const type = LINUX.SOCK_RAW | LINUX.SOCK_CLOEXEC | LINUX.SOCK_NONBLOCK
  const fd = libc.socket(LINUX.AF_INET6, type, LINUX.IPPROTO_ICMPV6)
  if (fd < 0) {
    const name = errnoName(libc.errno())
    throw refuse(name === 'EPERM' ? 'forbidden' : 'unreachable', name === 'EPERM' ? 'it needs CAP_NET_RAW' : name)
  }
  const device = Buffer.from(`${interfaceName}\0`)
  const membership = Buffer.concat([ALL_ROUTERS, int32(ifIndex)])
  // A set bit blocks its type (RFC 3542 §3.2): all but solicitations.
  const filter = Buffer.alloc(32, 0xff)
  filter[ICMPV6_SOLICITATION >> 3]! &= ~(1 << (ICMPV6_SOLICITATION & 7))
  // Hop limit 255 shows the receiver that the packet comes from its own link (RFC 4861 §6.1.2).
  const settings: readonly (readonly [level: number, name: number, value: Buffer])[] = [
    [LINUX.SOL_SOCKET, LINUX.SO_BINDTODEVICE, device],
    [LINUX.IPPROTO_ICMPV6, LINUX.ICMP6_FILTER, filter],
    [LINUX.IPPROTO_IPV6, LINUX.IPV6_UNICAST_HOPS, int32(255)],
    [LINUX.IPPROTO_IPV6, LINUX.IPV6_MULTICAST_HOPS, int32(255)],
    [LINUX.IPPROTO_IPV6, LINUX.IPV6_MULTICAST_LOOP, int32(0)],
    [LINUX.IPPROTO_IPV6, LINUX.IPV6_JOIN_GROUP, membership],
  ]
  for (const [level, name, value] of settings) {
    if (libc.setsockopt(fd, level, name, value, value.length) === 0) continue
    const errno = errnoName(libc.errno())
    libc.close(fd)
    throw refuse('unreachable', `${errno}; is IPv6 switched off there?`)
  }
  const into = Buffer.alloc(MAX_BYTES)
  const sender = Buffer.alloc(SOCKADDR_IN6_BYTES)
  return {
    receive() {
      const length = libc.recvfrom(fd, into, 0, sender)
      if (length < 0) return undefined
      return { bytes: Uint8Array.from(into.subarray(0, length)), from: Uint8Array.from(sender.subarray(8, 24)) }
    },
    send(bytes, to) {
      const address = Buffer.alloc(SOCKADDR_IN6_BYTES)
      address.writeUInt16LE(LINUX.AF_INET6, 0)
      address.set(to, 8)
      address.writeUInt32LE(ifIndex, 24)
      return libc.sendto(fd, Buffer.from(bytes), 0, address) < 0 ? errnoName(libc.errno()) : undefined
    },
    [Symbol.asyncDispose]: () => {
      libc.close(fd)
      return Promise.resolve()
    },
  }
}
