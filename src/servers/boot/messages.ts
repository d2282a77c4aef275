/** What the HTTP server for machines and its threads say to each other: calls of the desk, and what came of them. */
import { AppError, explain, type ErrorCode } from '../../base/errors.ts'
import type { StopThread } from '../threads.ts'
import type { BootDesk } from './desk.ts'

/** What a thread needs to begin. */
export interface BootThreadOrders {
  readonly address: string
  readonly port: number
}

export interface DeskCall {
  readonly kind: 'call'
  readonly call: number
  readonly method: keyof BootDesk
  readonly args: readonly unknown[]
}

export interface DeskAnswer {
  readonly kind: 'answer'
  readonly call: number
  readonly outcome:
    | { readonly value: unknown }
    | { readonly code: ErrorCode; readonly message: string }
    /** Our own bug, in words for the log. */
    | { readonly bug: string }
}

export type ToBootThread = DeskAnswer | StopThread

/** All of them, which the compiler holds against the desk. */
const METHODS = Object.keys({
  waiting: true,
  script: true,
  spec: true,
  stage: true,
  failed: true,
  filled: true,
  exit: true,
  kernelLoaded: true,
  agentSpec: true,
  agentReport: true,
  agentOrder: true,
  agentWiped: true,
  agentFailed: true,
  file: true,
  pieces: true,
} satisfies Record<keyof BootDesk, true>) as (keyof BootDesk)[]

/** Does what a thread asks. */
export async function answerCall(desk: BootDesk, { call, method, args }: DeskCall): Promise<DeskAnswer> {
  try {
    const work = desk[method] as (...args: readonly unknown[]) => Promise<unknown>
    return { kind: 'answer', call, outcome: { value: await work(...args) } }
  } catch (error) {
    const { code, message } = error instanceof AppError ? error : { code: undefined, message: explain(error) }
    return { kind: 'answer', call, outcome: code === undefined ? { bug: message } : { code, message } }
  }
}

/** The desk as a thread sees it. */
export function remoteDesk(send: (call: DeskCall) => void): { desk: BootDesk; hear(answer: DeskAnswer): void } {
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  let last = 0
  const callOf =
    (method: keyof BootDesk) =>
    (...args: readonly unknown[]): Promise<unknown> => {
      const call = ++last
      const answer = Promise.withResolvers<unknown>()
      waiting.set(call, answer)
      send({ kind: 'call', call, method, args })
      return answer.promise
    }
  return {
    desk: Object.fromEntries(METHODS.map((method) => [method, callOf(method)])) as unknown as BootDesk,
    hear({ call, outcome }) {
      const answer = waiting.get(call)
      waiting.delete(call)
      if ('value' in outcome) answer?.resolve(outcome.value)
      else if ('code' in outcome) answer?.reject(new AppError(outcome.code, outcome.message))
      else answer?.reject(new Error(outcome.bug))
    },
  }
}
