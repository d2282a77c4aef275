/** WS-Man requests to one AMT: digest authentication, one connection, again while it is busy. */
import { sleep } from '../../../base/clock.ts'
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import {
  className,
  parseWsmanAnswer,
  serializeWsman,
  type Resource,
  type WsmanAnswer,
  type WsmanFields,
} from '../../../wire/wsman/envelope.ts'
import type { XmlElement } from '../../../wire/wsman/xml.ts'
import { parseReturnValue, RETURN_VALUES } from '../../../wire/wsman/amt.ts'
import type { Trust } from '../trust.ts'
import { isBroken, openWeb, type WebAnswer, type WebObserver, type WebPlay } from '../web.ts'
import { createDigestSession } from './digest-session.ts'

export interface WsmanClientOptions {
  readonly origin: string
  readonly address: string
  readonly user: string
  readonly password: string
  readonly trust?: Trust | undefined
  readonly observe?: WebObserver | undefined
  readonly play?: WebPlay | undefined
  readonly log: Log
  readonly timeoutMs: number
  /** The first pause before a busy AMT is asked again, milliseconds. */
  readonly busyMs: number
}

export type WsmanClient = ReturnType<typeof createWsmanClient>

const PATH = '/wsman'
const MAX_CHALLENGES = 3
const MAX_BUSY = 5
const HTTP_BUSY = new Set([429, 503])
const FAULTS_BUSY = new Set(['Concurrency', 'QuotaLimit'])
const FAULTS_UNSUPPORTED = new Set([
  'ActionNotSupported',
  'DestinationUnreachable',
  'InvalidResourceURI',
  'InvalidSelectors',
  'UnsupportedFeature',
])
/** Busy and "in use" (DSP1027): nothing was done. */
const RETURNS_BUSY = new Set([6, 4099])
const RETURNS_UNSUPPORTED = new Set([1, 4098])

/**
 * Each operation throws AppError (`unreachable`, `unauthorized`, `forbidden`, `unsupported`, `conflict`, `bad_peer`) when it was certainly not
 * done, and NoAnswer or WireError when an answer did not come or cannot be read, so that it may have been done.
 */
export function createWsmanClient({ origin, address, user, password, log, busyMs, ...options }: WsmanClientOptions) {
  const { timeoutMs, trust, observe, play } = options
  const web = openWeb({ origin, peer: `AMT "${address}"`, timeoutMs, trust, observe, play, plainScheme: 'amt://' })
  const digest = createDigestSession(user, password)
  let messages = 0

  async function post(body: Uint8Array, isSafe: boolean, signal?: AbortSignal): Promise<WebAnswer> {
    let isAgain = false
    for (let challenges = 0; ;) {
      const authorization = digest.authorization('POST', PATH)
      const headers = {
        'content-type': 'application/soap+xml;charset=UTF-8',
        ...(authorization === undefined ? {} : { authorization }),
      }
      let answer: WebAnswer
      try {
        answer = await web.ask({ method: 'POST', path: PATH, headers, body }, signal)
      } catch (error) {
        // Not as it was: a count that comes twice is a replay.
        if (!isSafe || isAgain || !isBroken(error)) throw error
        isAgain = true
        continue
      }
      if (answer.status !== 401) return answer
      const outcome = digest.challenged(answer.headers['www-authenticate']?.join(', '))
      if (outcome === 'foreign')
        throw new AppError(
          'bad_peer',
          `Cannot log in to AMT "${address}": it offers no digest with MD5 or SHA-256, and the password is not sent in any other way`,
        )
      if (outcome === 'refused' || ++challenges > MAX_CHALLENGES)
        throw new AppError('unauthorized', `Cannot log in to AMT "${address}" as "${user}": user or password is wrong`)
    }
  }

  /** Asks until it is not busy, or too often. @param isBusy may look at what the answer says */
  async function ask(
    request: Parameters<typeof serializeWsman>[0] extends infer R ? Unnumbered<R> : never,
    isBusy: (body: XmlElement) => boolean,
    signal?: AbortSignal,
  ): Promise<XmlElement> {
    const what = request.do === 'invoke' ? request.method : `${request.do} ${className(request.resource)}`
    for (let tries = 0, pauseMs = busyMs; ; tries++, pauseMs *= 2) {
      const messageId = String(++messages)
      const answer = await post(serializeWsman({ ...request, messageId }), request.do === 'get', signal)
      const parsed = readAnswer(answer, what)
      log.debug('AMT asked', { bmc: address, what, status: answer.status })
      const busy =
        parsed === 'busy' || (parsed.kind === 'fault' ? FAULTS_BUSY.has(parsed.subcode) : isBusy(parsed.body))
      if (busy) {
        if (tries < MAX_BUSY) {
          await sleep(pauseMs, signal)
          continue
        }
        throw new AppError('conflict', `Cannot ask AMT "${address}" for "${what}": it is busy after ${tries + 1} tries`)
      }
      if (parsed.kind === 'fault') throw faultError(parsed, what)
      if (parsed.relatesTo !== messageId)
        throw new AppError('bad_peer', `Cannot understand AMT "${address}": it answered "${what}" of another request`)
      return parsed.body
    }
  }

  function readAnswer(answer: WebAnswer, what: string): WsmanAnswer | 'busy' {
    if (HTTP_BUSY.has(answer.status)) return 'busy'
    if (answer.status === 403)
      throw new AppError('forbidden', `Cannot ask AMT "${address}" for "${what}": "${user}" has not the right to`)
    // Faults come with 400 or 500 (DSP0226 §14.3).
    if (![200, 400, 500].includes(answer.status))
      throw new AppError('bad_peer', `Cannot ask AMT "${address}" for "${what}": it answered ${answer.status}`)
    return parseWsmanAnswer(answer.bytes)
  }

  function faultError(fault: WsmanAnswer & { kind: 'fault' }, what: string): AppError {
    const isDenied = fault.subcode === 'AccessDenied'
    const code = isDenied ? 'forbidden' : FAULTS_UNSUPPORTED.has(fault.subcode) ? 'unsupported' : 'bad_peer'
    const why = [fault.subcode || fault.code, fault.reason].filter((part) => part !== '').join(': ')
    return new AppError(code, `Cannot ask AMT "${address}" for "${what}": it declined (${why})`)
  }

  return {
    get: (resource: Resource, signal?: AbortSignal): Promise<XmlElement> =>
      ask({ do: 'get', resource }, () => false, signal),

    put: (resource: Resource, fields: WsmanFields, signal?: AbortSignal): Promise<XmlElement> =>
      ask({ do: 'put', resource, fields }, () => false, signal),

    /** Invokes a method, and returns when its return value says that it was done or has begun. */
    async invoke(resource: Resource, method: string, fields: WsmanFields, signal?: AbortSignal): Promise<void> {
      const isBusy = (body: XmlElement): boolean => RETURNS_BUSY.has(parseReturnValue(body, method))
      const value = parseReturnValue(await ask({ do: 'invoke', resource, method, fields }, isBusy, signal), method)
      if (value === 0 || value === 4096) return
      const code = RETURNS_UNSUPPORTED.has(value) ? 'unsupported' : value === 4097 ? 'conflict' : 'bad_peer'
      throw new AppError(
        code,
        `Cannot do "${method}" on AMT "${address}": it declined (${value}: ${RETURN_VALUES[value] ?? 'of its vendor'})`,
      )
    },

    [Symbol.asyncDispose]: () => web[Symbol.asyncDispose](),
  }
}

type Unnumbered<R> = R extends { readonly messageId: string } ? Omit<R, 'messageId'> : never
