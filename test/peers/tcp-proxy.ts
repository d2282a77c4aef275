/** A TCP proxy that cuts or slows connections and counts what goes through, for tests. */
import { connect, createServer, type Socket } from 'node:net'

export interface TcpProxy extends AsyncDisposable {
  readonly port: number
  /** Bytes sent to clients so far. */
  readonly sentBytes: () => number
  /** First lines of the requests that came, `GET /v2/…`. */
  readonly requests: string[]
}

export interface TcpProxyOptions {
  /** Cut a connection once it has brought so many bytes. */
  readonly cutAfterBytes?: number
  /** How many connections are cut; then it lets them be. */
  readonly cuts?: number
  /** At most so many bytes each 10 ms, all connections together. */
  readonly bytesPerTick?: number
}

export async function startTcpProxy(targetPort: number, options: TcpProxyOptions = {}): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  const requests: string[] = []
  let sent = 0
  let cuts = options.cuts ?? Number.POSITIVE_INFINITY
  let allowance = options.bytesPerTick ?? Number.POSITIVE_INFINITY
  const timer =
    options.bytesPerTick === undefined ? undefined : setInterval(() => (allowance = options.bytesPerTick!), 10)
  const server = createServer((client) => {
    const target = connect(targetPort, '127.0.0.1')
    let carried = 0
    for (const socket of [client, target]) {
      sockets.add(socket)
      socket
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(socket)
          client.destroy()
          target.destroy()
        })
    }
    client.on('data', (bytes) => {
      for (const [line] of String(bytes).matchAll(/^(GET|HEAD|POST) \S+/gm)) requests.push(line)
      target.write(bytes)
    })
    target.on('data', (bytes: Buffer) => {
      carried += bytes.length
      const isCut = options.cutAfterBytes !== undefined && carried > options.cutAfterBytes && cuts > 0
      sent += bytes.length
      allowance -= bytes.length
      if (isCut) {
        cuts--
        target.pause()
        client.write(bytes, () => client.destroy())
        return
      }
      client.write(bytes)
      if (allowance <= 0) {
        target.pause()
        setTimeout(() => target.resume(), 10)
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    sentBytes: () => sent,
    requests,
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
