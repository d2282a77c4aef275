/** How servers begin to listen, and what they say where they cannot. */
import { once } from 'node:events'
import type { ListenOptions, Server } from 'node:net'
import type { Socket } from 'node:dgram'
import { AppError, explain, systemCode, type ErrorCode } from '../base/errors.ts'

/** An address and a port of this machine. */
export interface Where {
  readonly host: string
  readonly port: number
}

const REASONS: Readonly<Record<string, readonly [ErrorCode, string]>> = {
  EADDRINUSE: ['conflict', 'the port is taken'],
  EACCES: ['forbidden', 'the port needs root or CAP_NET_BIND_SERVICE'],
  EADDRNOTAVAIL: ['conflict', 'this machine does not have that address'],
}

/** Listens. @param what it serves, as in `NBD`  @throws {AppError} conflict, forbidden, unreachable */
export async function listenTcp(what: string, server: Server, options: Where & ListenOptions): Promise<void> {
  // Asked for before it can happen.
  const listening = once(server, 'listening')
  server.listen(options)
  await listening.catch((cause: unknown) => Promise.reject(listenError(what, options, cause)))
}

/** Binds a socket, which is closed where it cannot be. @throws {AppError} conflict, forbidden, unreachable */
export async function bindUdp(what: string, socket: Socket, { host, port }: Where): Promise<void> {
  // Asked for before it can happen: with a lookup that answers at once it happens within bind().
  const listening = once(socket, 'listening')
  socket.bind({ address: host, port, exclusive: true })
  await listening.catch((cause: unknown) => {
    socket.close()
    throw listenError(what, { host, port }, cause)
  })
}

function listenError(what: string, { host, port }: Where, cause: unknown): AppError {
  const [code, why] = REASONS[systemCode(cause) ?? ''] ?? (['unreachable', explain(cause)] as const)
  return new AppError(code, `Cannot serve ${what} on "${host}:${port}": ${why}`, { cause })
}
