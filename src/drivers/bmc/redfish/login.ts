/**
 * How requests to one BMC are authorised: a session (DSP0266 §13.3.4) that is closed in the end, or HTTP Basic where the BMC has no
 * sessions or none to spare.
 */
import { z } from 'zod'
import { AppError } from '../../../base/errors.ts'
import type { Answer, Exchange } from './exchange.ts'
import { RedfishRefusal, refusal } from './refusal.ts'
import { servicePath } from './service-path.ts'

export type Login =
  | { readonly kind: 'session'; readonly token: string; readonly path: string }
  | {
      readonly kind: 'basic'
      /** Only because all sessions were taken: they may be free later. */
      readonly isForNow: boolean
    }

export interface Credentials {
  readonly user: string
  readonly password: string
}

const rootSchema = z.object({
  Links: z.object({ Sessions: z.object({ '@odata.id': z.string() }).nullish() }).nullish(),
})

/** Where sessions are on most services, so that the root need not be read for it (DSP0266 §13.3.4.2). */
const SESSIONS_PATH = '/redfish/v1/SessionService/Sessions'
/** Names of the messages with which BMCs say that all sessions are taken. */
const FULL = ['SessionLimitExceeded', 'CreateLimitReachedForResource', 'ResourceExhaustion', 'InsufficientResources']
/** Statuses of a BMC that has no sessions at all. */
const HAS_NONE = new Set([404, 405, 501])

/** All sessions are taken, or the session service does not answer as it should. Basic may do. */
export class NoSession extends AppError {}

export function authorization(login: Login, { user, password }: Credentials): Record<string, string> {
  return login.kind === 'session'
    ? { 'x-auth-token': login.token }
    : { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
}

/**
 * Opens a session.
 * @throws {NoSession} when there is none to have; `exhausted` when all are taken, `unsupported` when the BMC has no sessions
 * @throws {AppError} `unauthorized`, and as Exchange
 */
export async function openSession(
  exchange: Exchange,
  address: string,
  { user, password }: Credentials,
  signal?: AbortSignal,
): Promise<Login> {
  const doing = `Cannot log in to BMC "${address}" as "${user}"`
  const post = (path: string) =>
    exchange.ask({ method: 'POST', path, headers: {}, body: { UserName: user, Password: password } }, signal)
  let answer = await post(SESSIONS_PATH)
  if (HAS_NONE.has(answer.status)) {
    const path = await linkedSessions(exchange, address, signal)
    if (path !== undefined && path !== SESSIONS_PATH) answer = await post(path)
  }
  if (answer.status >= 200 && answer.status < 300) return sessionOf(answer, doing)
  const why = refusal(doing, answer.status, answer.body, [password])
  if (why.says(...FULL) || why.code === 'exhausted')
    throw new NoSession('exhausted', `${why.message}; all its sessions are taken`, { cause: why })
  if (HAS_NONE.has(answer.status)) throw new NoSession('unsupported', why.message, { cause: why })
  if (
    answer.status === 401 ||
    (answer.status === 400 && why.messages.some((name) => /Credential|Password/i.test(name)))
  )
    throw new RedfishRefusal('unauthorized', `${why.message}; check user and password`, why.status, why.messages)
  throw why
}

/** Closes a session; what goes wrong with that is not worth an error, the BMC drops it by itself in the end. */
export async function closeSession(exchange: Exchange, login: Login, signal: AbortSignal): Promise<void> {
  if (login.kind !== 'session') return
  const headers = { 'x-auth-token': login.token }
  try {
    await exchange.ask({ method: 'DELETE', path: login.path, headers }, signal)
  } catch {
    // Said above.
  }
}

/** Where the service root, which everybody may read, says that its sessions are. */
async function linkedSessions(exchange: Exchange, address: string, signal?: AbortSignal): Promise<string | undefined> {
  const { body } = await exchange.ask({ method: 'GET', path: '/redfish/v1', headers: {} }, signal)
  const link = rootSchema.safeParse(body).data?.Links?.Sessions?.['@odata.id']
  return link && servicePath(link, address).replace(/\/$/, '')
}

function sessionOf({ headers, body }: Answer, doing: string): Login {
  const token = headers['x-auth-token']
  const named = headers['location'] ?? idOf(body)
  // A Location may name the BMC as it calls itself: only its path counts.
  const path =
    named !== undefined && URL.canParse(named, 'http://bmc') ? new URL(named, 'http://bmc').pathname : undefined
  if (token === undefined || !/^[\x21-\x7e]{1,4096}$/.test(token) || path === undefined)
    throw new NoSession('bad_peer', `${doing}: it opened a session without a token or without saying where it is`)
  return { kind: 'session', token, path }
}

function idOf(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null || !('@odata.id' in body)) return undefined
  return typeof body['@odata.id'] === 'string' ? body['@odata.id'] : undefined
}
