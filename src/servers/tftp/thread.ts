/** The thread's end of server.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import { messageLog, serveThread, type ThreadNews } from '../threads.ts'
import { createTftpListener } from './listener.ts'
import type { Answered, FromTftpThread, TftpOrders, ToTftpThread } from './messages.ts'

const port = parentPort!
const send = (message: FromTftpThread | ThreadNews): void => port.postMessage(message)
/** Questions that were not answered yet. */
const asked = new Map<number, PromiseWithResolvers<Answered>>()
let lastAsk = 0
const stop = new AbortController()

port.on('message', (message: ToTftpThread) => {
  if (message.kind === 'stop') return stop.abort()
  const question = asked.get(message.ask)
  asked.delete(message.ask)
  if (message.kind === 'file') question?.resolve(message.bytes)
  else question?.reject(new Error(message.why))
})

const listener = createTftpListener(
  { ...(workerData as TftpOrders), sharesPort: true },
  {
    log: messageLog(send),
    files: {
      async open(name, address) {
        const question = Promise.withResolvers<Answered>()
        const ask = ++lastAsk
        asked.set(ask, question)
        send({ kind: 'ask', ask, name, address })
        const bytes = await question.promise
        if (bytes === undefined || bytes === 'silence') return bytes
        return { sizeBytes: bytes.length, read: (at, length) => bytes.subarray(at, at + length) }
      },
    },
    onEvent: (event) => send({ kind: 'event', event }),
  },
)
await serveThread(listener, stop.signal, send)
port.close()
