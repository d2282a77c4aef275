/** Lets requests to one BMC in: logs in before the first, again when the session has ended, out in the end; and paces them. */
import { sleep } from '../../../base/clock.ts'
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import { backOff } from '../../http-answers.ts'
import type { Answer, Exchange, Method } from './exchange.ts'
import { authorization, closeSession, type Credentials, type Login, NoSession, openSession } from './login.ts'

export interface DoorOptions {
  readonly exchange: Exchange
  /** For messages. */
  readonly address: string
  readonly credentials: Credentials
  readonly log: Log
  readonly auth: 'auto' | 'session' | 'basic'
  /** Least time between two requests, milliseconds: some BMCs freeze under a series of them. */
  readonly paceMs: number
  /** How often a BMC without a free session is asked for one. */
  readonly tries: number
  readonly backOffMs: number
}

/** Not safe for two callers at once: its owner takes turns. */
export interface Door {
  /** Logs in if need be. @throws {AppError} `unauthorized`, `exhausted`, and as Exchange */
  logIn(signal?: AbortSignal): Promise<Login>
  /** One request; when its session has ended (401) it is sent again in a new one, twice at most. Yields the answer whatever its status. */
  ask(
    method: Method,
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<Answer>
  logOut(): Promise<void>
  /** What no message may repeat. */
  secrets(): readonly string[]
}

const LOGOUT_TIMEOUT_MS = 2000

export function openDoor({ exchange, address, credentials, log, auth, paceMs, tries, backOffMs }: DoorOptions): Door {
  let login: Login | undefined = auth === 'basic' ? { kind: 'basic', isForNow: false } : undefined
  let lastMs = -Infinity

  return {
    logIn,
    async ask(method, path, body, headers, signal) {
      for (let attempt = 1; ; attempt++) {
        const used = await logIn(signal)
        const question = { method, path, headers: { ...headers, ...authorization(used, credentials) }, body }
        const answer = await paced(() => exchange.ask(question, signal), signal)
        log.debug('redfish asked', { method, path, status: answer.status })
        if (answer.status !== 401) return answer
        if (used.kind === 'basic' && used.isForNow) {
          login = undefined
          throw new AppError(
            'exhausted',
            `Cannot log in to BMC "${address}": all its sessions are taken, and it takes no Basic authentication; try later, or end sessions on it`,
          )
        }
        if (used.kind === 'basic' || attempt === 3) return answer
        login = undefined
      }
    },
    async logOut() {
      const last = login
      if (last?.kind === 'session') {
        login = undefined
        await closeSession(exchange, last, AbortSignal.timeout(LOGOUT_TIMEOUT_MS))
      } else if (last?.isForNow) login = undefined
    },
    secrets: () => [credentials.password, ...(login?.kind === 'session' ? [login.token] : [])],
  }

  async function logIn(signal?: AbortSignal): Promise<Login> {
    for (let attempt = 1; login === undefined; attempt++)
      try {
        login = await paced(() => openSession(exchange, address, credentials, signal), signal)
      } catch (error) {
        const isFull = error instanceof NoSession && error.code === 'exhausted'
        if (error instanceof NoSession && auth === 'auto' && (!isFull || attempt === 2)) {
          log.debug('redfish without a session', { why: error.message })
          login = { kind: 'basic', isForNow: isFull }
          continue
        }
        if (attempt >= tries || !isFull) throw error
        await backOff(attempt, undefined, signal ?? new AbortController().signal, backOffMs)
      }
    return login
  }

  async function paced<T>(ask: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const waitMs = lastMs + paceMs - performance.now()
    if (waitMs > 0) await sleep(waitMs, signal)
    try {
      return await ask()
    } finally {
      lastMs = performance.now()
    }
  }
}
