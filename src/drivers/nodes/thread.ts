/** Nodes files are read in a thread of their own: a large one takes seconds, which no lease and no call of the API has to wait. */
import { Worker } from 'node:worker_threads'
import { AppError, WireError } from '../../base/errors.ts'
import type { NodesFile } from '../../formats/nodes/nodes.ts'
import { workerEnvironment } from '../blobs/layer-threads.ts'
import type { FromReader } from './worker.ts'

const DEADLINE_MS = 60_000
const MEMORY_MB = 1024

/** @throws {WireError} as `parseNodes`; {AppError} invalid when it takes more time or memory than a file may */
export async function readNodesInThread(text: string): Promise<NodesFile> {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), {
    name: 'nodes file',
    workerData: text,
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
    env: workerEnvironment(),
  })
  const outcome = Promise.withResolvers<NodesFile>()
  const tooMuch = (what: string, cause?: unknown) =>
    outcome.reject(new AppError('invalid', `Cannot read the nodes file: it takes more than ${what}`, { cause }))
  const deadline = setTimeout(() => tooMuch(`${DEADLINE_MS / 1000} s`), DEADLINE_MS)
  worker.on('message', (message: FromReader) => {
    if (message.kind === 'done') outcome.resolve(message.file)
    else if (message.isWire) outcome.reject(new WireError('nodes file', message.why))
    else outcome.reject(new Error(message.why))
  })
  worker.on('error', (cause: unknown) => {
    const isMemory = cause instanceof Error && 'code' in cause && cause.code === 'ERR_WORKER_OUT_OF_MEMORY'
    if (isMemory) tooMuch(`${MEMORY_MB} MiB of memory`, cause)
    else outcome.reject(cause as Error)
  })
  worker.on('exit', () => outcome.reject(new Error('the thread that reads a nodes file ended')))
  try {
    return await outcome.promise
  } finally {
    clearTimeout(deadline)
    await worker.terminate()
  }
}
