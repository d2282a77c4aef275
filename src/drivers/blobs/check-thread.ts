/** A thread of its own for each layer that is checked: hashing takes a core, and the control loop has none to spare. */
import { Worker } from 'node:worker_threads'
import { AppError } from '../../base/errors.ts'
import type { CheckJob, LayerVerdict } from './check-layer.ts'
import type { FromCheck } from './check-worker.ts'
import { workerEnvironment } from './layer-threads.ts'

/**
 * @param onBytes how many bytes have been read so far
 * @returns undefined where there is no such layer any more
 * @throws {AppError} internal; the signal's reason
 */
export async function checkInThread(
  job: CheckJob,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<LayerVerdict | undefined> {
  signal.throwIfAborted()
  const worker = new Worker(new URL('./check-worker.ts', import.meta.url), {
    workerData: job,
    env: workerEnvironment(),
  })
  const outcome = Promise.withResolvers<LayerVerdict | undefined>()
  const fail = (cause: unknown) =>
    outcome.reject(new AppError('internal', `Cannot check layer ${job.diffId}: its thread ended`, { cause }))
  const abort = () => outcome.reject(signal.reason as Error)
  worker.on('message', (message: FromCheck) => {
    switch (message.kind) {
      case 'read':
        return onBytes(message.bytes)
      case 'done':
        return outcome.resolve(message.verdict)
      case 'failed':
        return fail(new Error(message.why))
      default:
        message satisfies never
    }
  })
  worker.on('error', fail).on('exit', () => fail(undefined))
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await outcome.promise
  } finally {
    signal.removeEventListener('abort', abort)
    await worker.terminate()
  }
}
