/** The thread's end of server.ts. */
import { parentPort, workerData } from 'node:worker_threads'
import type { FilePiece } from '../../services/boot/boot.ts'
import { messageLog, serveThread, type ThreadNews } from '../threads.ts'
import { createBootHttp } from './http.ts'
import { remoteDesk, type BootThreadOrders, type DeskCall, type ToBootThread } from './messages.ts'

/** Bytes of a file, from its pieces. */
export type ReadPieces = (pieces: readonly FilePiece[], signal: AbortSignal) => AsyncIterable<Uint8Array>

/** Serves until the other end says stop; to be called once, in a worker thread that does nothing else. */
export async function serveBootThread(read: ReadPieces): Promise<void> {
  const port = parentPort!
  const send = (message: DeskCall | ThreadNews): void => port.postMessage(message)
  const { desk, hear } = remoteDesk(send)
  const stop = new AbortController()
  port.on('message', (message: ToBootThread) => {
    if (message.kind === 'answer') hear(message)
    else stop.abort()
  })
  const http = createBootHttp({ log: messageLog(send), desk, read, ...(workerData as BootThreadOrders) })
  await serveThread(http, stop.signal, send)
  port.close()
}
