/** Answers a registry's challenge (distribution spec/auth: token, oauth; RFC 7617 basic). */
import type { Dispatcher } from 'undici'
import { AppError } from '../../base/errors.ts'
import type { Challenge } from '../../wire/http/challenge.ts'
import type { Credential } from './credentials.ts'
import { bodyOf } from '../http-answers.ts'
import { originOf, type Send } from './request.ts'

const MAX_TOKEN_BYTES = 256 << 10
const DEFAULT_TOKEN_SECONDS = 60

export interface Authorization {
  /** The value of the Authorization header. A secret. */
  readonly header: string
  readonly expiresAtMs: number
}

/**
 * Gets what a challenge asks for.
 * @param registry the URL of the registry that challenged; a token server on plain http is only used where it is one itself
 * @param scope e.g. `repository:library/debian:pull`
 * @returns undefined when a credential is needed and there is none
 * @throws {AppError} unauthorized when the credential is refused, bad_peer when the challenge or the answer makes no sense
 */
export async function authorize(
  challenges: readonly Challenge[],
  { registry, scope, credential, send, now }: AuthorizeNeeds,
): Promise<Authorization | undefined> {
  const bearer = challenges.find((challenge) => challenge.scheme === 'bearer')
  if (bearer !== undefined) return fetchToken(bearer, { registry, scope, credential, send, now })
  if (!challenges.some((challenge) => challenge.scheme === 'basic'))
    throw new AppError(
      'bad_peer',
      `Cannot log in to "${registry.host}": it asks for neither Bearer nor Basic authentication`,
    )
  if (credential?.kind !== 'basic') return undefined
  return { header: basic(credential.username, credential.password), expiresAtMs: Infinity }
}

interface AuthorizeNeeds {
  readonly registry: URL
  readonly scope: string
  readonly credential: Credential | undefined
  readonly send: Send
  readonly now: () => number
}

async function fetchToken(challenge: Challenge, needs: AuthorizeNeeds): Promise<Authorization> {
  const { registry, credential, send, now } = needs
  const realm = parseRealm(challenge.parameters.get('realm'), registry)
  const service = challenge.parameters.get('service')
  // The registry's own scope is used only where it names the repository that was asked for.
  const query = new URLSearchParams({ ...(service === undefined ? {} : { service }), scope: needs.scope })
  const answer =
    credential?.kind === 'identity'
      ? await postToken(realm, query, credential.token, send)
      : await getToken(realm, query, credential, send)
  const what = `Cannot log in to "${registry.host}": token server "${realm.host}"`
  if (answer.statusCode === 401 || answer.statusCode === 403 || answer.statusCode === 400) {
    await answer.body.dump().catch(() => {})
    const who = credential === undefined ? 'without a credential' : 'with the credential that is configured'
    throw new AppError('unauthorized', `${what} answers ${answer.statusCode} ${who}; see docker login`)
  }
  if (answer.statusCode !== 200) {
    await answer.body.dump().catch(() => {})
    throw new AppError(answer.statusCode >= 500 ? 'unreachable' : 'bad_peer', `${what} answers ${answer.statusCode}`)
  }
  const fields = parseAnswer(await bodyOf(answer, MAX_TOKEN_BYTES, what))
  const token = fields.get('token') ?? fields.get('access_token')
  if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token))
    throw new AppError('bad_peer', `${what} sends no token`)
  const seconds = Number(fields.get('expires_in') ?? DEFAULT_TOKEN_SECONDS)
  const lifetimeMs = (Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 86_400) : DEFAULT_TOKEN_SECONDS) * 1000
  return { header: `Bearer ${token}`, expiresAtMs: now() + lifetimeMs * 0.8 }
}

function getToken(
  realm: URL,
  query: URLSearchParams,
  credential: Extract<Credential, { kind: 'basic' }> | undefined,
  send: Send,
): Promise<Dispatcher.ResponseData> {
  const url = new URL(realm)
  for (const [key, value] of query) url.searchParams.append(key, value)
  if (credential !== undefined) url.searchParams.append('account', credential.username)
  const headers: Record<string, string> =
    credential === undefined ? {} : { authorization: basic(credential.username, credential.password) }
  return send({ url, method: 'GET', headers, origin: 'peer' })
}

function postToken(
  realm: URL,
  query: URLSearchParams,
  refreshToken: string,
  send: Send,
): Promise<Dispatcher.ResponseData> {
  const form = new URLSearchParams(query)
  form.set('grant_type', 'refresh_token')
  form.set('client_id', 'bareboat')
  form.set('refresh_token', refreshToken)
  const headers = { 'content-type': 'application/x-www-form-urlencoded' }
  return send({ url: realm, method: 'POST', headers, body: form.toString(), origin: 'peer' })
}

function parseRealm(realm: string | undefined, registry: URL): URL {
  const url = realm === undefined || !URL.canParse(realm) ? undefined : new URL(realm)
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
    throw new AppError('bad_peer', `Cannot log in to "${registry.host}": its token server is not an http(s) URL`)
  if (url.protocol === 'http:' && registry.protocol === 'https:')
    throw new AppError(
      'forbidden',
      `Cannot log in to "${registry.host}": its token server "${originOf(url)}" would get the credential without TLS`,
    )
  return url
}

function parseAnswer(bytes: Uint8Array): Map<string, unknown> {
  try {
    const value = JSON.parse(new TextDecoder().decode(bytes)) as unknown
    return new Map(typeof value === 'object' && value !== null ? Object.entries(value) : [])
  } catch {
    return new Map()
  }
}

function basic(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`
}
