/** Lets requests to one BMC in: logs in before the first, again when the session has ended, out in the end. */
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

export function openDoor({ exchange, address, credentials, log, auth, tries, backOffMs }: DoorOptions): Door {
  let login: Login | undefined = auth === 'basic' ? { kind: 'basic', isForNow: false } : undefined

  return {
    logIn,
    async ask(method, path, body, headers, signal) {
      for (let attempt = 1; ; attempt++) {
        const used = await logIn(signal)
        const question = { method, path, headers: { ...headers, ...authorization(used, credentials) }, body }
        const answer = await exchange.ask(question, signal)
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
        login = await openSession(exchange, address, credentials, signal)
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
}
