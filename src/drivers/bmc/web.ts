/**
 * HTTP(S) to one BMC: one connection, bounded answers, no redirects, and failures told apart by whether the request may have arrived.
 * BMCs come with certificates of their own: such a one is accepted by its fingerprint, and by nothing else.
 */
import { Readable } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { Agent, buildConnector, request } from 'undici'
import { AppError, systemCode } from '../../base/errors.ts'

export interface WebOptions {
  /** `https://10.0.3.7`, without a path. */
  readonly origin: string
  /** For messages. */
  readonly address: string
  /** How long a request may take, milliseconds. */
  readonly timeoutMs: number
  /** SHA-256 of the BMC's certificate, hexadecimal in lower case; undefined: it must be one that the system trusts. */
  readonly fingerprint?: string | undefined
}

export interface WebRequest {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>
  /** It changes nothing, so that it is sent once more, as it is, when its connection broke. */
  readonly isSafe?: boolean
  /** Instead of the options' one, milliseconds. */
  readonly timeoutMs?: number
}

export interface WebAnswer {
  readonly status: number
  /** By lower-case name; those that come several times joined by commas. */
  header(name: string): string | undefined
  readonly bytes: Uint8Array
}

type NoAnswerCode = 'timeout' | 'unreachable' | 'bad_peer'

/** The request was sent, or may have been, and no answer came: it may have been done. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
  /** As an AppError says it. */
  readonly code: NoAnswerCode

  constructor(why: string, code: NoAnswerCode, cause: unknown) {
    super(why, { cause })
    this.code = code
  }
}

/** Whether a connection broke: BMCs close those that they have not used for a while. */
export function isBroken(error: unknown): boolean {
  return error instanceof NoAnswer && error.code === 'unreachable'
}

const MAX_ANSWER_BYTES = 1024 * 1024
/** Failures after which the request was certainly not sent. */
const NOT_SENT = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
])

/** Reads `?fingerprint=SHA256` of a BMC's URL: 64 hexadecimal digits, with or without colons. @throws {AppError} `invalid` */
export function parseFingerprint(text: string): string {
  const digits = text.replaceAll(':', '').toLowerCase()
  if (/^[0-9a-f]{64}$/.test(digits)) return digits
  throw new AppError('invalid', `Cannot use certificate fingerprint "${text}": a SHA-256 has 64 hexadecimal digits`)
}

export type Web = ReturnType<typeof openWeb>

/** Nothing is sent before the first request. */
export function openWeb({ origin, address, timeoutMs, fingerprint }: WebOptions) {
  const agent = new Agent({
    connections: 1,
    pipelining: 1,
    maxResponseSize: MAX_ANSWER_BYTES,
    connect: connectorFor(address, timeoutMs, fingerprint),
  })

  async function once(
    { method, path, headers, body, ...options }: WebRequest,
    signal?: AbortSignal,
  ): Promise<WebAnswer> {
    const ms = options.timeoutMs ?? timeoutMs
    const deadline = AbortSignal.timeout(ms)
    const all = signal ? AbortSignal.any([signal, deadline]) : deadline
    try {
      const answer = await request(new URL(path, origin), {
        method,
        dispatcher: agent,
        signal: all,
        ...(headers ? { headers } : {}),
        body: body instanceof Uint8Array ? body : body ? Readable.from(body) : null,
      })
      const bytes = new Uint8Array(await answer.body.arrayBuffer())
      const header = (name: string): string | undefined => {
        const value = answer.headers[name]
        return Array.isArray(value) ? value.join(', ') : value
      }
      return { status: answer.statusCode, header, bytes }
    } catch (cause) {
      signal?.throwIfAborted()
      if (cause instanceof AppError) throw cause
      if (NOT_SENT.has(systemCode(cause) ?? ''))
        throw new AppError('unreachable', `Cannot reach BMC "${address}"; check its address, and that it runs`, {
          cause,
        })
      if (deadline.aborted) throw new NoAnswer(`no answer in ${ms} ms`, 'timeout', cause)
      if (systemCode(cause) === 'UND_ERR_RES_EXCEEDED_MAX_SIZE')
        throw new NoAnswer(`its answer is longer than ${MAX_ANSWER_BYTES} bytes`, 'bad_peer', cause)
      throw new NoAnswer('the connection broke before the answer', 'unreachable', cause)
    }
  }

  return {
    /**
     * Sends a request and reads the whole answer, whatever its status.
     * @throws {AppError} `unreachable` when it was certainly not sent, or the certificate is not the BMC's
     * @throws {NoAnswer} when it may have arrived
     */
    async ask(asked: WebRequest, signal?: AbortSignal): Promise<WebAnswer> {
      try {
        return await once(asked, signal)
      } catch (error) {
        if (asked.isSafe !== true || !isBroken(error)) throw error
        return once(asked, signal)
      }
    },
    [Symbol.asyncDispose]: () => agent.destroy(),
  }
}

function connectorFor(address: string, timeout: number, fingerprint?: string): buildConnector.connector {
  // Looked at below, before anything is said: Node's own check knows no fingerprints.
  const connect = buildConnector({ timeout, rejectUnauthorized: false })
  return (options, callback) =>
    connect(options, (error, socket) => {
      if (error) return callback(error, null)
      const isTls = socket !== null && 'getPeerCertificate' in socket
      const wrong = isTls ? certificateFault(socket, address, fingerprint) : undefined
      if (!wrong) return callback(null, socket)
      socket.destroy()
      return callback(wrong, null)
    })
}

function certificateFault(socket: TLSSocket, address: string, fingerprint?: string): AppError | undefined {
  const seen = socket.getPeerCertificate().fingerprint256?.replaceAll(':', '').toLowerCase() ?? ''
  if (fingerprint === undefined ? socket.authorized : seen === fingerprint) return undefined
  const cannot = `Cannot trust BMC "${address}"`
  if (fingerprint !== undefined)
    return new AppError('unreachable', `${cannot}: its certificate is ${seen}, not the one in its URL`)
  return new AppError(
    'unreachable',
    `${cannot}: its certificate is not one that this system trusts (${String(socket.authorizationError)}); if it is its own, add it to the URL: ?fingerprint=${seen}`,
  )
}
