/** Starts `nbd-host.ts` and speaks with it. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { LAUNCHER_OPTIONS } from '../../src/cli/demo/place.ts'
import type { HostOrders, HostQuestion } from './nbd-host.ts'

export interface NbdProcess extends AsyncDisposable {
  readonly pid: number
  ask(question: HostQuestion): Promise<unknown>
}

export async function startNbd(orders: HostOrders): Promise<NbdProcess> {
  const child: ChildProcess = fork(new URL('./nbd-host.ts', import.meta.url), {
    // As ./bareboat starts the daemon.
    execArgv: [...LAUNCHER_OPTIONS, '--expose-gc'],
    env: { ...process.env, MALLOC_MMAP_THRESHOLD_: '131072' },
    serialization: 'advanced',
  })
  child.send(orders)
  const ended = once(child, 'exit').then(() => {
    throw new Error('the NBD server ended')
  })
  ended.catch(() => undefined)
  await Promise.race([once(child, 'message'), ended])
  let turn: Promise<unknown> = Promise.resolve()
  return {
    pid: child.pid!,
    ask(question) {
      const answer = turn.then(async () => {
        child.send(question)
        const [{ value }] = (await Promise.race([once(child, 'message'), ended])) as [{ value: unknown }]
        return value
      })
      turn = answer.catch(() => undefined)
      return answer
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exit = once(child, 'exit')
      child.disconnect()
      await exit
    },
  }
}
