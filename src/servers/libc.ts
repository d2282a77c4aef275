/**
 * The few calls of the C library that Node lacks: sockets bound to one interface, raw sockets, reads that do not wait. By `node:ffi`, which is experimental:
 * whoever uses this has a way to go on without.
 */

export interface Libc {
  socket(family: number, type: number, protocol: number): number
  setsockopt(fd: number, level: number, name: number, value: Buffer, length: number): number
  bind(fd: number, address: Buffer, length: number): number
  /** @param address sockaddr */
  sendto(fd: number, bytes: Buffer, flags: number, address: Buffer): number
  /** @param address is overwritten with the sender's sockaddr */
  recvfrom(fd: number, into: Buffer, flags: number, address: Buffer): number
  ifIndex(interfaceName: string): number
  /** The first IPv4 address of an interface, whether or not it has a carrier; undefined when it has none. */
  ipv4Of(interfaceName: string): string | undefined
  /** @param address of `length` bytes */
  send(fd: number, address: bigint, length: number, flags: number): number
  /** @param vectors of struct iovec, `count` of them */
  preadv2(fd: number, vectors: Buffer, count: number, offset: number, flags: number): number
  /** Where the bytes of a buffer lie; whoever uses the address keeps the buffer. */
  addressOf(bytes: Buffer): bigint
  close(fd: number): number
  /** The error number of the last call. */
  errno(): number
}

/** asm-generic values, the same on x86-64 and arm64. */
export const LINUX = {
  AF_INET: 2,
  AF_INET6: 10,
  SOCK_DGRAM: 2,
  SOCK_RAW: 3,
  SOCK_NONBLOCK: 0o4000,
  SOCK_CLOEXEC: 0o2000000,
  SOL_SOCKET: 1,
  SO_REUSEADDR: 2,
  SO_BROADCAST: 6,
  SO_RCVBUF: 8,
  SO_BINDTODEVICE: 25,
  SO_RCVBUFFORCE: 33,
  IPPROTO_TCP: 6,
  TCP_USER_TIMEOUT: 18,
  IPPROTO_IPV6: 41,
  IPV6_UNICAST_HOPS: 16,
  IPV6_MULTICAST_HOPS: 18,
  IPV6_MULTICAST_LOOP: 19,
  IPV6_JOIN_GROUP: 20,
  IPPROTO_ICMPV6: 58,
  ICMP6_FILTER: 1,
  SIOCGIFADDR: 0x8915,
} as const

const ERRNO: Readonly<Record<number, string>> = {
  1: 'EPERM',
  11: 'EAGAIN',
  13: 'EACCES',
  19: 'ENODEV',
  97: 'EAFNOSUPPORT',
  98: 'EADDRINUSE',
  99: 'EADDRNOTAVAIL',
  100: 'ENETDOWN',
  101: 'ENETUNREACH',
}

/** `EPERM`, or `errno 5` for those that nobody here asks about. */
export function errnoName(errno: number): string {
  return ERRNO[errno] ?? `errno ${errno}`
}

/** The C library; undefined where there is no ffi in this Node, or no glibc. */
export async function openLibc(): Promise<Libc | undefined> {
  if (process.platform !== 'linux') return undefined
  try {
    const { dlopen, getInt32, getRawPointer } = await import('node:ffi')
    const { functions: f } = dlopen('libc.so.6', {
      socket: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
      setsockopt: { arguments: ['int32', 'int32', 'int32', 'buffer', 'uint32'], return: 'int32' },
      bind: { arguments: ['int32', 'buffer', 'uint32'], return: 'int32' },
      send: { arguments: ['int32', 'pointer', 'uint64', 'int32'], return: 'int64' },
      sendto: { arguments: ['int32', 'buffer', 'uint64', 'int32', 'buffer', 'uint32'], return: 'int64' },
      recvfrom: { arguments: ['int32', 'buffer', 'uint64', 'int32', 'buffer', 'buffer'], return: 'int64' },
      if_nametoindex: { arguments: ['string'], return: 'uint32' },
      ioctl: { arguments: ['int32', 'uint64', 'buffer'], return: 'int32' },
      preadv2: { arguments: ['int32', 'buffer', 'int32', 'int64', 'int32'], return: 'int64' },
      close: { arguments: ['int32'], return: 'int32' },
      __errno_location: { arguments: [], return: 'pointer' },
    })
    return {
      socket: (...args) => Number(f.socket(...args)),
      setsockopt: (...args) => Number(f.setsockopt(...args)),
      bind: (...args) => Number(f.bind(...args)),
      send: (fd, address, length, flags) => Number(f.send(fd, address, BigInt(length), flags)),
      sendto: (fd, bytes, flags, to) => Number(f.sendto(fd, bytes, BigInt(bytes.length), flags, to, to.length)),
      recvfrom: (fd, into, flags, from) => {
        const length = int32(from.length)
        return Number(f.recvfrom(fd, into, BigInt(into.length), flags, from, length))
      },
      ifIndex: (interfaceName) => Number(f.if_nametoindex(interfaceName)),
      ipv4Of: (interfaceName) => {
        // struct ifreq: a name of 16 bytes, then a sockaddr_in.
        const request = Buffer.alloc(40)
        request.write(interfaceName.slice(0, 15), 'latin1')
        const fd = Number(f.socket(LINUX.AF_INET, LINUX.SOCK_DGRAM | LINUX.SOCK_CLOEXEC, 0))
        if (fd < 0) return undefined
        const failed = Number(f.ioctl(fd, BigInt(LINUX.SIOCGIFADDR), request)) < 0
        f.close(fd)
        return failed ? undefined : request.subarray(20, 24).join('.')
      },
      preadv2: (fd, vectors, count, offset, flags) => Number(f.preadv2(fd, vectors, count, BigInt(offset), flags)),
      addressOf: (bytes) => getRawPointer(bytes),
      close: (fd) => Number(f.close(fd)),
      errno: () => getInt32(f.__errno_location() as bigint),
    }
  } catch {
    return undefined
  }
}

/** A C `int`. */
export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  return bytes
}
