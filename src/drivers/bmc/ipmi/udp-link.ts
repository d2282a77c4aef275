/** One UDP socket that talks to one BMC only: connected, so that the kernel drops what others send and tells us of a closed port. */
import { createSocket, type Socket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { AppError } from '../../../base/errors.ts'
import { hostPort } from '../user-at-host.ts'

export interface UdpLink extends AsyncDisposable {
  send(bytes: Uint8Array): void
  /** Who gets datagrams from now on; undefined drops them. */
  onDatagram: ((bytes: Uint8Array) => void) | undefined
  /** The BMC's side said that nobody listens there (ICMP port unreachable), or the network that there is no way. */
  onRefused: ((cause: Error) => void) | undefined
}

/** @throws {AppError} `unreachable` when the name has no address or the system has no way there */
export async function openUdpLink(host: string, port: number): Promise<UdpLink> {
  const { address, family } = await resolve(host, port)
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
  try {
    await connect(socket, address, port)
  } catch (cause) {
    socket.close()
    throw new AppError('unreachable', `Cannot reach BMC "${hostPort(host, port)}": the system has no way there`, {
      cause,
    })
  }
  let isOpen = true
  const link: UdpLink = {
    onDatagram: undefined,
    onRefused: undefined,
    send(bytes) {
      if (isOpen) socket.send(bytes, (error) => error && isOpen && link.onRefused?.(error))
    },
    [Symbol.asyncDispose]: () => {
      if (!isOpen) return Promise.resolve()
      isOpen = false
      return new Promise((resolved) => void socket.close(resolved))
    },
  }
  socket.on('message', (bytes) => link.onDatagram?.(bytes))
  socket.on('error', (error) => isOpen && link.onRefused?.(error))
  return link
}

async function resolve(host: string, port: number): Promise<{ address: string; family: number }> {
  const family = isIP(host)
  if (family !== 0) return { address: host, family }
  try {
    return await lookup(host)
  } catch (cause) {
    throw new AppError('unreachable', `Cannot reach BMC "${hostPort(host, port)}": its name has no address`, { cause })
  }
}

function connect(socket: Socket, address: string, port: number): Promise<void> {
  return new Promise((resolved, rejected) => {
    socket.once('error', rejected)
    socket.connect(port, address, () => {
      socket.off('error', rejected)
      resolved()
    })
  })
}
