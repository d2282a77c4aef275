/** Requests to one PiKVM: its login goes with each, an answer that declines is an error with kvmd's own words. */
import { AppError, WireError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import { parsePikvmError, type PikvmError } from '../../../wire/pikvm/answers.ts'
import type { Trust } from '../trust.ts'
import { openWeb, type WebObserver, type WebPlay, type WebRequest } from '../web.ts'

export interface PikvmApiOptions {
  readonly origin: string
  readonly address: string
  readonly user: string
  readonly password: string
  readonly trust?: Trust | undefined
  readonly observe?: WebObserver | undefined
  readonly play?: WebPlay | undefined
  readonly log: Log
  readonly timeoutMs: number
}

export type PikvmApi = ReturnType<typeof createPikvmApi>

export type Query = Readonly<Record<string, string | number | boolean | undefined>>

export function createPikvmApi({ origin, address, user, password, log, ...options }: PikvmApiOptions) {
  const { timeoutMs, trust, observe, play } = options
  const web = openWeb({ origin, peer: `PiKVM "${address}"`, timeoutMs, trust, observe, play })
  const login = { 'x-kvmd-user': user, 'x-kvmd-passwd': password }

  /** An error of kvmd as ours: `conflict` is what may pass. */
  function declined(status: number, what: string, error: PikvmError | undefined): AppError {
    const cannot = `Cannot ask PiKVM "${address}" for ${what}`
    if (status === 401 || status === 403)
      return new AppError('unauthorized', `Cannot log in to PiKVM "${address}" as "${user}": user or password is wrong`)
    const why = error ? `: it declined (${error.name}: ${error.message})` : `: it answered ${status}`
    if (status === 409 || status === 503 || error?.name.includes('Busy') === true)
      return new AppError('conflict', `${cannot}${why}`)
    if (error?.name.includes('Disabled') === true) return new AppError('unsupported', `${cannot}${why}`)
    if (error && /Offline|Connected|Disconnected|NotSelected|Unknown|Exists/.test(error.name))
      return new AppError('conflict', `${cannot}${why}`)
    return new AppError(status === 404 ? 'unsupported' : 'bad_peer', `${cannot}${why}`)
  }

  return {
    address,
    declined,

    /**
     * Sends a request and yields the body of an answer with status 200.
     * @throws {AppError} `unreachable`, `unauthorized`, `conflict`, `unsupported`, `bad_peer` when it was certainly not done
     * @throws {NoAnswer} when it may have been
     */
    async ask(
      method: 'GET' | 'POST',
      path: string,
      query: Query = {},
      { signal, ...more }: { signal?: AbortSignal | undefined } & Partial<WebRequest> = {},
    ): Promise<Uint8Array> {
      const given = Object.entries(query).filter(([, value]) => value !== undefined)
      const words = new URLSearchParams(given.map(([key, value]) => [key, spelled(value!)]))
      const target = given.length === 0 ? path : `${path}?${words.toString()}`
      const answer = await web.ask(
        { isSafe: method === 'GET', ...more, method, path: target, headers: { ...login, ...more.headers } },
        signal,
      )
      log.debug('PiKVM asked', { bmc: address, method, path, status: answer.status })
      if (answer.status === 200) return answer.bytes
      throw declined(answer.status, `"${method} ${path}"`, parsePikvmError(answer.bytes))
    },

    [Symbol.asyncDispose]: () => web[Symbol.asyncDispose](),
  }
}

/** What did not come, or cannot be read, in the words of the power port. */
export async function explained<T>(address: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof WireError) throw new AppError('bad_peer', `Cannot understand PiKVM "${address}"`, { cause })
    throw cause
  }
}

function spelled(value: string | number | boolean): string {
  return typeof value === 'boolean' ? (value ? '1' : '0') : String(value)
}
