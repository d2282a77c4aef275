/** One Redfish request and its answer: JSON there and back (DSP0266 §6.5). */
import { gunzipSync } from 'node:zlib'
import { NoAnswer, openWeb, type WebAnswer, type WebOptions, type WebRequest } from '../web.ts'

export type Method = WebRequest['method']

export interface Question {
  readonly method: Method
  /** On this BMC; begins with a slash. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: unknown
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The JSON of its body; undefined when it has none. */
  readonly body: unknown
}

export interface ExchangeOptions extends Omit<WebOptions, 'peer' | 'followsRedirects' | 'plainScheme'> {
  /** For messages: `10.0.3.7:443`. */
  readonly address: string
  /** How long an answer may be, bytes. */
  readonly maxAnswerBytes: number
}

/** A body that was cut off or is no JSON. It may be whole at the next try. */
export class GarbledAnswer extends NoAnswer {}

export interface Exchange extends AsyncDisposable {
  /** Asks, and yields the answer whatever its status. @throws {GarbledAnswer} @throws {AppError} as Web.ask */
  ask(question: Question, signal?: AbortSignal): Promise<Answer>
}

export function openExchange({ address, ...options }: ExchangeOptions): Exchange {
  const web = openWeb({ ...options, peer: `BMC "${address}"`, followsRedirects: true, plainScheme: 'redfish+http://' })
  return {
    async ask({ method, path, headers, body }, signal) {
      const answer = await web.ask(
        {
          method,
          path,
          headers: {
            accept: 'application/json',
            'odata-version': '4.0',
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
            ...headers,
          },
          body: body === undefined ? undefined : Buffer.from(JSON.stringify(body)),
        },
        signal,
      )
      return {
        status: answer.status,
        headers: Object.fromEntries(Object.entries(answer.headers).map(([name, values]) => [name, values[0]])),
        body: parse(answer, `Cannot ${method} "${path}" on BMC "${address}"`),
      }
    },
    [Symbol.asyncDispose]: () => web[Symbol.asyncDispose](),
  }

  /** Bodies of refusals are for people: what is no JSON there is as good as none. */
  function parse({ status, headers, bytes }: WebAnswer, doing: string): unknown {
    if (bytes.length === 0) return undefined
    const isGzip = headers['content-encoding']?.[0] === 'gzip'
    try {
      const plain = isGzip ? gunzipSync(bytes, { maxOutputLength: options.maxAnswerBytes }) : bytes
      return JSON.parse(new TextDecoder().decode(plain)) as unknown
    } catch (cause) {
      if (status >= 300 || status === 204) return undefined
      throw new GarbledAnswer('bad_peer', `${doing}: its answer is no JSON`, { cause })
    }
  }
}
