/** The HTTP server for machines: threads that send files of gigabytes while the control loop answers what they ask of it. */
import type { Worker } from 'node:worker_threads'
import type { Log } from '../../base/log.ts'
import type { Task } from '../../base/task.ts'
import { createThreads, threadCount, threadsTask } from '../threads.ts'
import type { BootDesk } from './desk.ts'
import { answerCall, type BootThreadOrders, type DeskCall } from './messages.ts'

export interface BootServerOptions {
  readonly log: Log
  readonly desk: BootDesk
  readonly address: string
  readonly port: number
  /** Starts a thread that runs `serveBootThread`. */
  readonly startThread: (orders: BootThreadOrders) => Worker
}

/** As a task, which throws {AppError} conflict where the port is taken. */
export function createBootServer({ log, desk, address, port, startThread }: BootServerOptions): Task {
  const threads = createThreads<DeskCall>({
    name: 'HTTP for machines',
    log,
    address,
    port,
    transport: 'tcp',
    count: threadCount(),
    start: () => startThread({ address, port }),
    hear: (worker, call) => void answerCall(desk, call).then((answer) => worker.postMessage(answer)),
  })
  return threadsTask('boot http', threads)
}
