/**
 * A UDP socket bound to one interface. Node cannot set SO_BINDTODEVICE, and without it a server on a machine with several interfaces
 * cannot tell where a broadcast came from. So the socket is made through `node:ffi` and given to dgram as a file descriptor. Where
 * ffi is missing, a plain socket hears all interfaces; `isBound` says which it is.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { networkInterfaces } from 'node:os'
import { AppError } from '../../base/errors.ts'

export interface UdpPort extends AsyncDisposable {
  /** True when only this interface's packets arrive and broadcasts leave by it. */
  readonly isBound: boolean
  onMessage(listener: (bytes: Uint8Array, from: RemoteInfo) => void): void
  /** Called once, when the socket fails for good. */
  onError(listener: (error: Error) => void): void
  /** @param onFailure told when this packet could not be sent */
  send(bytes: Uint8Array, port: number, address: string, onFailure: (error: Error) => void): void
}

/** Receive buffer, bytes: what arrives while a commit waits for the disk. */
const RECEIVE_BYTES = 4 << 20

/** The first IPv4 address of an interface. @throws {AppError} not_found, when it has none */
export function addressOf(interfaceName: string): string {
  const found = networkInterfaces()[interfaceName]?.find((entry) => entry.family === 'IPv4')
  if (!found)
    throw new AppError(
      'not_found',
      `Cannot serve DHCP on "${interfaceName}": there is no such interface with an IPv4 address`,
    )
  return found.address
}

/** @throws {AppError} conflict when the port is taken, forbidden without the right to it, unreachable otherwise */
export async function openUdpPort(interfaceName: string, port: number): Promise<UdpPort> {
  // One resolver for all: addresses here are always literal, and Node would otherwise queue a lookup for each packet.
  const socket = createSocket({
    type: 'udp4',
    reuseAddr: true,
    lookup: (host, _options, done) => done(null, host, 4),
  })
  const fd = await openBoundFd(interfaceName, port)
  try {
    await bound(socket, fd === undefined ? { port, address: '0.0.0.0' } : { fd })
    if (fd === undefined) socket.setBroadcast(true)
  } catch (cause) {
    socket.close()
    throw openError(interfaceName, port, cause)
  }
  return {
    isBound: fd !== undefined,
    onMessage: (listener) => void socket.on('message', listener),
    onError: (listener) => void socket.once('error', listener),
    send(bytes, toPort, address, onFailure) {
      socket.send(bytes, toPort, address, (error) => {
        if (error) onFailure(error)
      })
    },
    [Symbol.asyncDispose]: () => new Promise((resolve) => socket.close(() => resolve())),
  }
}

function bound(socket: Socket, options: { fd: number } | { port: number; address: string }): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.bind(options, () => {
      socket.off('error', reject)
      resolve()
    })
  })
}

/** A non-blocking IPv4 UDP socket on `port` of one interface; undefined where `node:ffi` is missing. */
async function openBoundFd(interfaceName: string, port: number): Promise<number | undefined> {
  const libc = await openLibc()
  if (!libc) return undefined
  const fd = libc.socket(LINUX.AF_INET, LINUX.SOCK_DGRAM | LINUX.SOCK_CLOEXEC | LINUX.SOCK_NONBLOCK, 0)
  if (fd < 0) throw openError(interfaceName, port, libc.errno())
  const one = int32(1)
  const device = Buffer.from(`${interfaceName}\0`)
  const address = Buffer.alloc(16)
  address.writeUInt16LE(LINUX.AF_INET, 0)
  address.writeUInt16BE(port, 2)
  const failed =
    libc.setsockopt(fd, LINUX.SOL_SOCKET, LINUX.SO_REUSEADDR, one, 4) < 0 ||
    libc.setsockopt(fd, LINUX.SOL_SOCKET, LINUX.SO_BROADCAST, one, 4) < 0 ||
    libc.setsockopt(fd, LINUX.SOL_SOCKET, LINUX.SO_BINDTODEVICE, device, device.length) < 0 ||
    libc.bind(fd, address, address.length) < 0
  const errno = libc.errno()
  if (failed) {
    libc.close(fd)
    throw openError(interfaceName, port, errno)
  }
  // Needs CAP_NET_ADMIN; without it the system's limit holds, which only means that a burst may lose packets.
  if (libc.setsockopt(fd, LINUX.SOL_SOCKET, LINUX.SO_RCVBUFFORCE, int32(RECEIVE_BYTES), 4) < 0)
    libc.setsockopt(fd, LINUX.SOL_SOCKET, LINUX.SO_RCVBUF, int32(RECEIVE_BYTES), 4)
  return fd
}

/** asm-generic values, the same on x86-64 and arm64. */
const LINUX = {
  AF_INET: 2,
  SOCK_DGRAM: 2,
  SOCK_NONBLOCK: 0o4000,
  SOCK_CLOEXEC: 0o2000000,
  SOL_SOCKET: 1,
  SO_REUSEADDR: 2,
  SO_BROADCAST: 6,
  SO_RCVBUF: 8,
  SO_BINDTODEVICE: 25,
  SO_RCVBUFFORCE: 33,
} as const

const ERRNO: Readonly<Record<number, string>> = { 1: 'EPERM', 13: 'EACCES', 19: 'ENODEV', 98: 'EADDRINUSE' }

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  return bytes
}

function openError(interfaceName: string, port: number, cause: unknown): AppError {
  const raw = typeof cause === 'number' ? (ERRNO[cause] ?? `errno ${cause}`) : ((cause as { code?: string }).code ?? '')
  const said: Readonly<Record<string, readonly ['conflict' | 'forbidden' | 'not_found', string]>> = {
    EADDRINUSE: ['conflict', `UDP port ${port} is taken; is another DHCP server running?`],
    EACCES: ['forbidden', `UDP port ${port} needs root or CAP_NET_BIND_SERVICE`],
    EPERM: ['forbidden', 'binding to an interface needs CAP_NET_RAW'],
    ENODEV: ['not_found', 'there is no such interface'],
  }
  const [code, why] = said[raw] ?? (['unreachable', raw] as const)
  return new AppError(code, `Cannot listen on "${interfaceName}": ${why}`, typeof cause === 'number' ? {} : { cause })
}

interface Libc {
  socket(family: number, type: number, protocol: number): number
  setsockopt(fd: number, level: number, name: number, value: Buffer, length: number): number
  bind(fd: number, address: Buffer, length: number): number
  close(fd: number): number
  /** The error number of the last call. */
  errno(): number
}

async function openLibc(): Promise<Libc | undefined> {
  if (process.platform !== 'linux') return undefined
  try {
    const { dlopen, getInt32 } = await import('node:ffi')
    const { functions: f } = dlopen('libc.so.6', {
      socket: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
      setsockopt: { arguments: ['int32', 'int32', 'int32', 'buffer', 'uint32'], return: 'int32' },
      bind: { arguments: ['int32', 'buffer', 'uint32'], return: 'int32' },
      close: { arguments: ['int32'], return: 'int32' },
      __errno_location: { arguments: [], return: 'pointer' },
    })
    return {
      socket: (...args) => Number(f.socket(...args)),
      setsockopt: (...args) => Number(f.setsockopt(...args)),
      bind: (...args) => Number(f.bind(...args)),
      close: (fd) => Number(f.close(fd)),
      errno: () => getInt32(f.__errno_location() as bigint),
    }
  } catch {
    return undefined // no ffi in this Node, or no such libc (musl)
  }
}
