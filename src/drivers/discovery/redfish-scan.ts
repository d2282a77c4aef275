/** Asks one address whether it is a Redfish service: its root, which DSP0266 §13.3.1 lets everybody read. No credentials. */
import { createHash } from 'node:crypto'
import { connect as connectTcp, isIP } from 'node:net'
import { connect } from 'node:tls'
import { AppError, WireError } from '../../base/errors.ts'
import { asResource, textOf } from '../../formats/redfish/resource.ts'
import type { RedfishSeen } from '../../model/discovery.ts'
import type { RedfishProbe } from '../../services/discovery/ports.ts'
import { openExchange } from '../bmc/redfish/exchange.ts'

/** Service roots have some 2 KiB. */
const MAX_ROOT_BYTES = 64 << 10

/** What answers; undefined for nobody, or something that is no Redfish service. Rejects only with the signal's reason. */
export async function probeRedfish(
  address: string,
  { port, plainHttp, timeoutMs }: RedfishProbe,
  signal: AbortSignal,
): Promise<RedfishSeen | undefined> {
  // Most addresses of a subnet are nobody's, and an HTTP client for each costs more than all else.
  if (!(await isListening(address, port, timeoutMs, signal))) return undefined
  const scheme = plainHttp ? 'http' : 'https'
  const origin = new URL(`${scheme}://${isIP(address) === 6 ? `[${address}]` : address}:${port}`).origin
  try {
    await using exchange = openExchange({
      origin,
      address: `${address}:${port}`,
      // Nothing secret is sent.
      trust: { kind: 'anyone' },
      timeoutMs,
      maxAnswerBytes: MAX_ROOT_BYTES,
    })
    const { status, body } = await exchange.ask({ method: 'GET', path: '/redfish/v1/', headers: {} }, signal)
    const root = asResource(body)
    // Some BMCs want a login even for the root, and say so as Redfish does.
    const isRefused = status === 401 && asResource(root?.['error']) !== undefined
    if (!root || !(isRefused || (status === 200 && textOf(root, 'RedfishVersion') !== undefined))) return undefined
    return {
      origin,
      version: textOf(root, 'RedfishVersion'),
      vendor: textOf(root, 'Vendor'),
      product: textOf(root, 'Product'),
      uuid: textOf(root, 'UUID')?.slice(0, 64),
      fingerprint: plainHttp ? undefined : await readFingerprint(origin, timeoutMs, signal),
    }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof AppError || error instanceof WireError) return undefined
    throw error
  }
}

/** Whether a TCP connection can be made. Rejects only with the signal's reason. */
async function isListening(host: string, port: number, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<boolean>()
  const socket = connectTcp({ host, port, timeout: timeoutMs })
  const stop = () => reject(signal.reason)
  signal.addEventListener('abort', stop)
  socket.on('connect', () => resolve(true))
  socket.on('timeout', () => resolve(false))
  socket.on('error', () => resolve(false))
  try {
    return await promise
  } finally {
    signal.removeEventListener('abort', stop)
    socket.destroy()
  }
}

/**
 * SHA-256 of the certificate that a server shows, whoever signed it, in lower-case hex; undefined for an origin without TLS.
 * @throws {AppError} unreachable, timeout
 */
export async function readFingerprint(
  origin: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { protocol, hostname, port } = new URL(origin)
  if (protocol !== 'https:') return undefined
  signal.throwIfAborted()
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const fail = (code: 'unreachable' | 'timeout', why: string, cause?: unknown) =>
    reject(new AppError(code, `Cannot see the certificate of "${origin}": ${why}`, { cause }))
  const socket = connect({
    host,
    port: Number(port || 443),
    rejectUnauthorized: false,
    ...(isIP(host) ? {} : { servername: host }),
  })
  const stop = () => reject(signal.reason)
  signal.addEventListener('abort', stop)
  const timer = setTimeout(() => fail('timeout', `no answer in ${timeoutMs} ms`), timeoutMs)
  socket.on('error', (cause) => fail('unreachable', 'it cannot be reached over TLS', cause))
  socket.on('secureConnect', () => {
    const { raw } = socket.getPeerCertificate()
    if (raw === undefined) fail('unreachable', 'it shows none')
    else resolve(createHash('sha256').update(raw).digest('hex'))
  })
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
    socket.destroy()
  }
}
