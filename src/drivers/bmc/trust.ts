/**
 * Whether the BMC that answers is the one that was meant. BMCs come with certificates that they signed themselves: what is trusted is
 * said per BMC, the name and password are sent only after that, and the refusal says the fingerprint that could be pinned.
 */
import { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { buildConnector } from 'undici'
import { AppError } from '../../base/errors.ts'
import { authorities } from '../authorities.ts'

export type Trust =
  /** Signed for this name by an authority that this system knows, or by `ca` (PEM). */
  | { readonly kind: 'authorities'; readonly ca?: string }
  /** The certificate whose SHA-256 fingerprint this is, in lower-case hex, whoever signed it and whatever its dates. */
  | { readonly kind: 'fingerprint'; readonly sha256: string }
  /** Whoever answers. */
  | { readonly kind: 'anyone' }

/** Nothing was sent: whoever answers is not known to be the BMC. */
export class Distrust extends AppError {}

/** Reads a SHA-256 fingerprint as openssl, curl and browsers print it: 64 hex digits with or without colons. Undefined if it is none. */
export function parseFingerprint(text: string): string | undefined {
  const hex = text.replace(/^sha-?256[:=]/i, '').replaceAll(':', '')
  return /^[0-9a-f]{64}$/i.test(hex) ? hex.toLowerCase() : undefined
}

/**
 * What `?fingerprint=SHA256` and `?insecure` of a BMC's URL say of its certificate.
 * @param refuse an error of that URL, for the reason
 * @throws what `refuse` yields
 */
export function trustOf(
  { fingerprint, insecure }: { readonly fingerprint?: string | undefined; readonly insecure?: string | undefined },
  refuse: (why: string) => AppError,
): Trust {
  if (insecure !== undefined && insecure !== '') throw refuse('insecure has no value: it is there or not')
  if (fingerprint !== undefined && insecure !== undefined)
    throw refuse('a fingerprint is checked, and insecure checks nothing: one of them')
  if (insecure !== undefined) return { kind: 'anyone' }
  if (fingerprint === undefined) return { kind: 'authorities' }
  const sha256 = parseFingerprint(fingerprint)
  if (sha256 === undefined) throw refuse('its fingerprint is not the SHA-256 of a certificate, 64 hex digits')
  return { kind: 'fingerprint', sha256 }
}

/**
 * Connects for undici; the connection is given away only when its certificate is trusted. Plain connections pass.
 * @param peer for messages: `BMC "10.0.3.7:443"`
 */
export function trustingConnector(trust: Trust, peer: string, timeoutMs: number): buildConnector.connector {
  const connect = buildConnector({
    timeout: timeoutMs,
    // What BMCs have of HTTP/2 is young.
    allowH2: false,
    // A resumed session has no certificate to look at.
    maxCachedSessions: 0,
    // Judged below, where the certificate is at hand.
    rejectUnauthorized: false,
    ...(trust.kind === 'authorities' ? { ca: authorities(trust.ca) } : {}),
  })
  return (options, callback) =>
    connect(options, (...[error, socket]) => {
      if (error) return callback(error, null)
      const why = socket instanceof TLSSocket ? distrust(trust, socket, peer) : undefined
      if (why === undefined) return callback(null, socket)
      socket.destroy()
      callback(why, null)
    })
}

/**
 * A connection to an origin, whose certificate is trusted, for what is not HTTP in the end.
 * @throws {Distrust} @throws {AppError} `unreachable`
 */
export async function connectTrusted(origin: string, trust: Trust, peer: string, timeoutMs: number): Promise<Socket> {
  const { protocol, hostname, port } = new URL(origin)
  const connector = trustingConnector(trust, peer, timeoutMs)
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const at = { protocol, hostname: hostname.replace(/^\[(.*)\]$/, '$1'), port: port || defaultPort(protocol) }
  connector(at, (...[cause, socket]) => {
    if (cause === null) return resolve(socket)
    reject(
      cause instanceof AppError
        ? cause
        : new AppError('unreachable', `Cannot connect to ${peer}: it cannot be reached at port ${at.port}`, { cause }),
    )
  })
  return promise
}

function defaultPort(protocol: string): string {
  return protocol === 'https:' ? '443' : '80'
}

function distrust(trust: Trust, socket: TLSSocket, peer: string): Distrust | undefined {
  if (trust.kind === 'anyone') return undefined
  const { raw } = socket.getPeerCertificate()
  const seen = raw === undefined ? '' : new X509Certificate(raw).fingerprint256.replaceAll(':', '').toLowerCase()
  if (trust.kind === 'fingerprint') {
    if (seen === trust.sha256) return undefined
    return new Distrust(
      'bad_peer',
      `Cannot trust ${peer}: its certificate has the SHA-256 fingerprint ${seen}, not ${trust.sha256}; if its certificate was changed, put the new one in its URL`,
    )
  }
  if (socket.authorized) return undefined
  return new Distrust(
    'bad_peer',
    `Cannot trust ${peer}: ${reason(socket.authorizationError)}; compare its SHA-256 fingerprint ${seen} with the BMC's own and add fingerprint=${seen} to its URL, or add insecure to trust whoever answers there`,
  )
}

/** The verdict of OpenSSL or of Node's comparison of names. */
function reason(verdict: unknown): string {
  const code = verdict instanceof Error ? verdict.message : String(verdict)
  switch (code) {
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return 'it signed its certificate itself'
    case 'CERT_HAS_EXPIRED':
      return 'its certificate has expired'
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return 'its certificate is for another name'
    default:
      return `its certificate is not signed by anyone known here (${code.slice(0, 80)})`
  }
}
