/** The TFTP server: threads that share its port. Here is only who knows which bytes a name stands for. */
import { Worker } from 'node:worker_threads'
import { explain } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Task } from '../../base/task.ts'
import { createThreads, threadCount, threadsTask } from '../threads.ts'
import type { TftpEvent } from './listener.ts'
import type { Answered, FromTftpThread, TftpOrders, ToTftpThread } from './messages.ts'

export interface TftpServerOptions {
  readonly log: Log
  readonly address: string
  readonly port: number
  /**
   * The bytes of a file, undefined where there is none, `silence` for a client that gets no answer; asked once for each transfer. They are handed to another thread: bytes of a
   * SharedArrayBuffer as they are, others as a copy.
   * @param name as the client sent it, without leading slashes
   */
  readonly open: (name: string, clientAddress: string) => Promise<Answered>
  readonly onEvent: (event: TftpEvent) => void
}

/** As a task, which throws {AppError} conflict where the port is taken, forbidden where it needs root. */
export function createTftpServer({ log, address, port, open, onEvent }: TftpServerOptions): Task {
  async function answer(ask: number, name: string, client: string): Promise<ToTftpThread> {
    try {
      return { kind: 'file', ask, bytes: await open(name, client) }
    } catch (error) {
      return { kind: 'no-file', ask, why: explain(error) }
    }
  }
  const threads = createThreads<FromTftpThread>({
    name: 'TFTP',
    log,
    address,
    port,
    transport: 'udp',
    count: threadCount(),
    start: () => startThread({ address, port }),
    hear(worker, news) {
      if (news.kind === 'event') onEvent(news.event)
      else void answer(news.ask, news.name, news.address).then((message) => worker.postMessage(message))
    },
  })
  return threadsTask(`tftp ${address}`, threads)
}

function startThread(orders: TftpOrders): Worker {
  return new Worker(new URL('./thread.ts', import.meta.url), { name: 'tftp', workerData: orders })
}
