/** The thread's end of thread.ts: one file, then it is over. */
import { parentPort, workerData } from 'node:worker_threads'
import { explain, WireError } from '../../base/errors.ts'
import { parseNodes, type NodesFile } from '../../formats/nodes/nodes.ts'

export type FromReader =
  | { readonly kind: 'done'; readonly file: NodesFile }
  /** `isWire`: the file is at fault, and `why` says how, without the words of a WireError before it. */
  | { readonly kind: 'failed'; readonly why: string; readonly isWire: boolean }

const send = (message: FromReader): void => parentPort!.postMessage(message)
try {
  send({ kind: 'done', file: parseNodes(workerData as string) })
} catch (error) {
  const isWire = error instanceof WireError
  send({ kind: 'failed', isWire, why: isWire ? error.message.replace(/^Cannot read [^:]*: /, '') : explain(error) })
}
