/** The thread's end of server.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { openLibc } from '../libc.ts'
import { cannotListen, messageLog, type ThreadNews } from '../threads.ts'
import { openListener } from './listener.ts'
import type { FromThread, ThreadOrders, ToThread, Verdict } from './messages.ts'

const port = parentPort!
const send = (message: FromThread | ThreadNews): void => port.postMessage(message)

/** Questions that were not answered yet. */
const asked = new Map<number, (verdict: Verdict) => void>()
let lastAsk = 0

try {
  const listener = await openListener({
    orders: workerData as ThreadOrders,
    log: messageLog(send),
    libc: await openLibc(),
    ask(question) {
      const ask = ++lastAsk
      return new Promise((resolve) => {
        asked.set(ask, resolve)
        send({ kind: 'ask', ask, ...question })
      })
    },
    onEnded: (connection) => send({ kind: 'ended', connection }),
  })
  port.on('message', (message: ToThread) => {
    switch (message.kind) {
      case 'verdict':
        asked.get(message.ask)?.(message.verdict)
        asked.delete(message.ask)
        return
      case 'end':
        return listener.end(message.connection)
      case 'drop':
        return listener.drop(message.token)
      case 'forget':
        return listener.forget(message.token)
      case 'touched':
        return send({ kind: 'touched', ask: message.ask, touched: listener.touched(message.token) })
      case 'counts':
        return send({ kind: 'counts', ask: message.ask, counts: listener.counts() })
      case 'stop':
        void listener[Symbol.asyncDispose]().then(() => port.close())
        return
      default:
        message satisfies never
    }
  })
  send({ kind: 'listening' })
} catch (error) {
  send(cannotListen(error))
}
