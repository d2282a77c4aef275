/** A listening server that can be closed at once, with the connections that it has, upgraded ones included. */
import type { ListenOptions, Server, Socket } from 'node:net'

/** Listens; disposing closes the server and every connection. Rejects when the address cannot be had. */
export async function listen(server: Server, where: ListenOptions): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(where, resolve)
  })
  return {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}
