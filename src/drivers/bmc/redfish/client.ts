/**
 * A client of one BMC's Redfish service (DSP0266): who may ask, what is asked again and what never is.
 *
 * GETs are repeated while the failure may pass. A POST or PATCH is sent once more only where the BMC said that it did nothing (its
 * session ended, the ETag was old); one without an answer is a LostAnswer, and what is true has to be read.
 */
import { AppError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import { backOff, isPassing } from '../../http-answers.ts'
import { Distrust, type Trust } from '../trust.ts'
import { Turns } from '../turns.ts'
import { NoAnswer, type WebObserver, type WebPlay } from '../web.ts'
import { openDoor } from './door.ts'
import { type Answer, GarbledAnswer, type Method, openExchange } from './exchange.ts'
import { LostAnswer, refusal } from './refusal.ts'
import { servicePath } from './service-path.ts'

export interface RedfishClientOptions {
  /** `https://host[:port]`, or `http://` for a BMC without TLS. */
  readonly origin: string
  readonly user: string
  readonly password: string
  readonly log: Log
  /** Default: authorities that this system knows. */
  readonly trust?: Trust
  /** `session`: never Basic. `basic`: never a session. Default: a session, and Basic where there is none to have. */
  readonly auth?: 'auto' | 'session' | 'basic'
  /** How long one exchange may take, milliseconds; default 15 s. */
  readonly timeoutMs?: number
  /** How often a GET is asked at most; default 4. */
  readonly tries?: number
  /** The first pause before a GET is asked again, milliseconds; default 250, doubled each time. */
  readonly backOffMs?: number
  /** Least time between two requests, milliseconds; default 20. */
  readonly paceMs?: number
  /** An unused session is closed after this, milliseconds; default 10 s. BMCs have few. */
  readonly idleMs?: number
  /** How long an answer may be, bytes; default 4 MiB. */
  readonly maxAnswerBytes?: number
  /** How many requests may wait for this BMC; default 64. */
  readonly maxWaiting?: number
  readonly observe?: WebObserver | undefined
  readonly play?: WebPlay | undefined
}

export interface RedfishResource {
  readonly path: string
  /** From the header, else the resource's own `@odata.etag`. */
  readonly etag: string | undefined
  /** JSON as it came; callers parse it. */
  readonly body: unknown
}

export interface RedfishAnswer {
  readonly status: number
  /** Path of what was made, or of the task's monitor when `status` is 202. Never leaves this BMC. */
  readonly location: string | undefined
  /** As it came: seconds or a date. */
  readonly retryAfter: string | undefined
  readonly body: unknown
}

export interface RedfishClient extends AsyncDisposable {
  /** For people: `10.0.3.7:443`. */
  readonly address: string

  /**
   * Reads one resource.
   * @param path begins with `/redfish/`; an `@odata.id` can be handed in as it came, a link out of the service is refused
   * @throws {RedfishRefusal} an AppError with the BMC's words and its status
   * @throws {AppError} `unreachable`, `timeout`, `bad_peer`, `unauthorized`, `exhausted` (busy, or all sessions taken)
   */
  get(path: string, signal?: AbortSignal): Promise<RedfishResource>

  /** Reads what a task monitor says (202 while it runs), with the status that `get` leaves out. */
  monitor(path: string, signal?: AbortSignal): Promise<RedfishAnswer>

  /**
   * Changes properties. `etag` goes into If-Match; when the BMC finds it old (412) or wants one (428), the resource is read again and
   * the change sent once more. A weak ETag that is refused twice is sent as a strong one: some BMCs give the one and compare the other.
   * @throws {RedfishRefusal} @throws {LostAnswer} it may have been done @throws {AppError} as `get`
   */
  patch(
    path: string,
    body: unknown,
    options?: { etag?: string | undefined; signal?: AbortSignal | undefined },
  ): Promise<RedfishAnswer>

  /** @throws {RedfishRefusal} @throws {LostAnswer} it may have been done @throws {AppError} as `get` */
  post(path: string, body: unknown, signal?: AbortSignal): Promise<RedfishAnswer>
}

/**
 * A BMC at an origin. Nothing is sent before the first request; dispose it to close its session.
 * @throws {AppError} `invalid` for a user or password that cannot be used
 */
export function createRedfishClient(options: RedfishClientOptions): RedfishClient {
  const { tries = 4, backOffMs = 250, idleMs = 10_000 } = options
  const address = hostPort(options.origin)
  const log = options.log.with({ bmc: address })
  const credentials = checkCredentials(options.user, options.password, address)
  const exchange = openExchange({
    origin: options.origin,
    address,
    trust: options.trust,
    timeoutMs: options.timeoutMs ?? 15_000,
    maxAnswerBytes: options.maxAnswerBytes ?? 4 << 20,
    paceMs: options.paceMs ?? 20,
    observe: options.observe,
    play: options.play,
  })
  const turns = new Turns(address, options.maxWaiting ?? 64)
  const door = openDoor({
    exchange,
    address,
    credentials,
    log,
    auth: options.auth ?? 'auto',
    tries,
    backOffMs,
  })
  let idle: NodeJS.Timeout | undefined

  return {
    address,
    get: (path, signal) =>
      inTurn(async () => {
        const answer = await persistently(servicePath(path, address), signal)
        return { path, etag: answer.headers['etag'] ?? ownEtag(answer.body), body: answer.body }
      }, signal),
    monitor: (path, signal) =>
      inTurn(async () => answerOf(await persistently(servicePath(path, address), signal)), signal),
    post: (path, body, signal) =>
      inTurn(async () => {
        const answer = await change('POST', servicePath(path, address), body, {}, signal)
        if (isGood(answer)) return answerOf(answer)
        throw refused('POST', path, answer)
      }, signal),
    patch: (path, body, { etag, signal } = {}) =>
      inTurn(async () => answerOf(await patch(servicePath(path, address), body, etag, signal)), signal),
    [Symbol.asyncDispose]: () =>
      turns.close(async () => {
        clearTimeout(idle)
        await door.logOut()
        await exchange[Symbol.asyncDispose]()
      }),
  }

  /** One operation after the other; the session is closed once none has come for a while. */
  function inTurn<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return turns.take(async () => {
      clearTimeout(idle)
      try {
        return await work()
      } finally {
        idle = setTimeout(() => void turns.take(door.logOut).catch(() => {}), idleMs)
      }
    }, signal)
  }

  /** A GET, again and again while its failure may pass. */
  async function persistently(path: string, signal?: AbortSignal): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      let retryAfter: string | undefined
      try {
        const answer = await door.ask('GET', path, undefined, {}, signal)
        if (isGood(answer)) return answer
        if (attempt === tries || !isPassing(answer.status)) throw refused('GET', path, answer)
        retryAfter = answer.headers['retry-after']
      } catch (error) {
        if (attempt === tries || !mayPass(error)) throw error
        log.debug('redfish asked again', { path, attempt, why: (error as Error).message })
      }
      await backOff(attempt, retryAfter, signal ?? new AbortController().signal, backOffMs)
    }
  }

  async function logIn(signal?: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt++)
      try {
        await door.logIn(signal)
        return
      } catch (error) {
        if (attempt === tries || !mayPass(error)) throw error
        await backOff(attempt, undefined, signal ?? new AbortController().signal, backOffMs)
      }
  }

  async function patch(path: string, body: unknown, etag: string | undefined, signal?: AbortSignal): Promise<Answer> {
    let match = etag
    for (let attempt = 1; ; attempt++) {
      const answer = await change('PATCH', path, body, match === undefined ? {} : { 'if-match': match }, signal)
      if (isGood(answer)) return answer
      if ((answer.status !== 412 && answer.status !== 428) || attempt === 3) throw refused('PATCH', path, answer)
      const now = await persistently(path, signal)
      const fresh = now.headers['etag'] ?? ownEtag(now.body) ?? '*'
      match = fresh === match ? fresh.replace(/^W\//, '') : fresh
      log.debug('redfish etag read again', { path, status: answer.status })
    }
  }

  /** A request that must not be done twice. */
  async function change(
    method: 'POST' | 'PATCH',
    path: string,
    body: unknown,
    headers: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<Answer> {
    // What goes wrong with the login is told as it is: nothing was changed by then.
    await logIn(signal)
    try {
      return await door.ask(method, path, body, headers, signal)
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error
      const code = error.code === 'timeout' ? 'timeout' : 'unreachable'
      throw new LostAnswer(code, `${error.message}; it may have been done`, { cause: error.cause ?? error })
    }
  }

  function refused(method: Method, path: string, answer: Answer): AppError {
    const doing = `Cannot ${method} "${path}" on BMC "${address}"`
    return refusal(doing, answer.status, answer.body, door.secrets())
  }
}

function isGood(answer: Answer): boolean {
  return answer.status >= 200 && answer.status < 300
}

function mayPass(error: unknown): boolean {
  if (error instanceof GarbledAnswer) return true
  return error instanceof AppError && error.code === 'unreachable' && !(error instanceof Distrust)
}

function answerOf({ status, headers, body }: Answer): RedfishAnswer {
  const at = headers['location']
  const url = at !== undefined && URL.canParse(at, 'http://bmc') ? new URL(at, 'http://bmc') : undefined
  return { status, location: url && url.pathname + url.search, retryAfter: headers['retry-after'], body }
}

function ownEtag(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null || !('@odata.etag' in body)) return undefined
  const etag = body['@odata.etag']
  return typeof etag === 'string' && /^[\x21-\x7e]{1,256}$/.test(etag) ? etag : undefined
}

function checkCredentials(user: string, password: string, address: string): { user: string; password: string } {
  if (user === '' || /[\x00-\x1f\x7f:]/.test(user))
    throw new AppError('invalid', `Cannot use user "${user.replaceAll(/[\x00-\x1f\x7f]/g, '?')}" on BMC "${address}"`)
  if (password === '')
    throw new AppError('invalid', `Cannot use BMC "${address}" without a password; set one on the BMC`)
  return { user, password }
}

/** `10.0.3.7:443` of an origin, with the port that its scheme implies. */
function hostPort(origin: string): string {
  const url = new URL(origin)
  return `${url.hostname}:${url.port || (url.protocol === 'https:' ? 443 : 80)}`
}
