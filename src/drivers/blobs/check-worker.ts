/** The thread's end of check-thread.ts: one layer, then it is over. */
import { parentPort, workerData } from 'node:worker_threads'
import { explain } from '../../base/errors.ts'
import { checkLayer, type CheckJob, type LayerVerdict } from './check-layer.ts'

export type FromCheck =
  | { readonly kind: 'read'; readonly bytes: number }
  | { readonly kind: 'done'; readonly verdict: LayerVerdict | undefined }
  | { readonly kind: 'failed'; readonly why: string }

/** Between two messages about progress, milliseconds. */
const TELL_MS = 200

const send = (message: FromCheck): void => parentPort!.postMessage(message)
let toldMs = 0
try {
  const verdict = await checkLayer(workerData as CheckJob, (bytes) => {
    if (performance.now() - toldMs < TELL_MS) return
    toldMs = performance.now()
    send({ kind: 'read', bytes })
  })
  send({ kind: 'done', verdict })
} catch (error) {
  send({ kind: 'failed', why: explain(error) })
}
