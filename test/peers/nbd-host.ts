/**
 * Our NBD server as a process of its own, for tests and measurements: the parent says by message what to serve and asks.
 * Beside it an API on a Unix socket that answers as `ps` does: on the main thread, JSON of a few containers.
 */
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { Worker } from 'node:worker_threads'
import { quietLog, type Fields, type Log } from '../../src/base/log.ts'
import { createNbdServer, startNbdThread, type DeviceFiles } from '../../src/servers/nbd/server.ts'

export interface HostOrders {
  readonly port: number
  readonly threads: number
  readonly exports: Readonly<Record<string, DeviceFiles>>
  readonly socket?: string
}

/** What the parent may ask. */
export type HostQuestion =
  | { readonly ask: 'sessions' }
  | { readonly ask: 'touched'; readonly token: string }
  | { readonly ask: 'drop'; readonly token: string }
  | { readonly ask: 'memory' }
  | { readonly ask: 'kill-thread' }
  | { readonly ask: 'log' }

const [orders] = (await once(process, 'message')) as [HostOrders]
const lines: { level: string; event: string; fields: Fields }[] = []
const note =
  (level: string) =>
  (event: string, fields: Fields = {}): void =>
    void lines.push({ level, event, fields })
const log: Log = { ...quietLog, info: note('info'), warn: note('warn'), error: note('error'), with: () => log }
const threads: Worker[] = []
const server = createNbdServer({
  log,
  address: '127.0.0.1',
  port: orders.port,
  threads: orders.threads,
  open: async (token) => (Object.hasOwn(orders.exports, token) ? orders.exports[token] : undefined),
  startThread(workerData) {
    const worker = startNbdThread(workerData)
    threads.push(worker)
    return worker
  },
})

const stop = new AbortController()
const running = server.task.run(stop.signal, () => process.send!({ ready: true }))
process.on('disconnect', () => stop.abort())
process.on('message', (question: HostQuestion) => {
  void answer(question).then((value) => process.send!({ value }))
})

async function answer(question: HostQuestion): Promise<unknown> {
  switch (question.ask) {
    case 'sessions':
      return server.sessions()
    case 'touched':
      return server.touched(question.token)
    case 'drop':
      return server.drop(question.token)
    case 'memory':
      globalThis.gc?.()
      return process.memoryUsage.rss()
    case 'kill-thread':
      await threads.shift()?.terminate()
      return undefined
    case 'log':
      return lines
    default:
      return question satisfies never
  }
}

const containers = Array.from({ length: 60 }, (_, at) => ({
  id: `${at}`.repeat(12),
  name: `machine-${at}`,
  state: 'running',
}))
const api = createServer((_request, response) => {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ containers, at: Date.now() }))
})
if (orders.socket !== undefined) {
  rmSync(orders.socket, { force: true })
  api.listen(orders.socket)
}
await running
api.close()
api.closeAllConnections()
