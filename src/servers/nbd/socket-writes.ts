/**
 * Writes to sockets without Node's stream in between: send(2) with MSG_DONTWAIT. What a socket takes at once needs no request object, no
 * callback and no turn of the event loop.
 */
import type { Socket } from 'node:net'
import type { Libc } from '../libc.ts'

const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000

export interface SocketWrites {
  /**
   * Sends what the socket takes now, if nothing that was written before is still to be sent.
   * @returns how many of the bytes at `address` were taken; 0 also where the connection is broken, which the next write by Node tells
   */
  send(socket: Socket, address: bigint, length: number): number
}

export function createSocketWrites(libc: Libc): SocketWrites {
  return {
    send(socket, address, length) {
      const fd = descriptorOf(socket)
      if (fd === undefined || socket.writableLength > 0) return 0
      return Math.max(libc.send(fd, address, length, MSG_DONTWAIT | MSG_NOSIGNAL), 0)
    },
  }
}

/** Of a socket that is open. */
export function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } | null }
  return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined
}
