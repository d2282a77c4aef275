/**
 * A UDP socket bound to one interface. Node cannot set SO_BINDTODEVICE, and without it a server on a machine with several interfaces
 * cannot tell where a broadcast came from. So the socket is made through `node:ffi` and given to dgram as a file descriptor. Where
 * ffi is missing, a plain socket hears all interfaces; `isBound` says which it is.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { networkInterfaces } from 'node:os'
import { AppError } from '../../base/errors.ts'
import { errnoName, int32, LINUX, openLibc } from '../libc.ts'

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

/**
 * The first IPv4 address of an interface. Not by `networkInterfaces()` alone: it leaves out an interface without a carrier, which a bridge is
 * while all of its machines are off.
 * @throws {AppError} not_found, when it has none
 */
export async function addressOf(interfaceName: string): Promise<string> {
  const listed = networkInterfaces()[interfaceName]?.find((entry) => entry.family === 'IPv4')?.address
  const found = listed ?? (await openLibc())?.ipv4Of(interfaceName)
  if (found) return found
  throw new AppError(
    'not_found',
    `Cannot serve DHCP on "${interfaceName}": there is no such interface with an IPv4 address`,
  )
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

function openError(interfaceName: string, port: number, cause: unknown): AppError {
  const raw = typeof cause === 'number' ? errnoName(cause) : ((cause as { code?: string }).code ?? '')
  const said: Readonly<Record<string, readonly ['conflict' | 'forbidden' | 'not_found', string]>> = {
    EADDRINUSE: ['conflict', `UDP port ${port} is taken; is another DHCP server running?`],
    EACCES: ['forbidden', `UDP port ${port} needs root or CAP_NET_BIND_SERVICE`],
    EPERM: ['forbidden', 'binding to an interface needs CAP_NET_RAW'],
    ENODEV: ['not_found', 'there is no such interface'],
  }
  const [code, why] = said[raw] ?? (['unreachable', raw] as const)
  return new AppError(code, `Cannot listen on "${interfaceName}": ${why}`, typeof cause === 'number' ? {} : { cause })
}
