/**
 * Whether the BMC that answers is the one that was meant. BMCs come with certificates that they signed themselves: what is trusted is
 * said per BMC, the name and password are sent only after that, and the refusal says the fingerprint that could be pinned.
 */
import { X509Certificate } from 'node:crypto'
import { TLSSocket } from 'node:tls'
import { buildConnector } from 'undici'
import { AppError } from '../../../base/errors.ts'
import { authorities } from '../../authorities.ts'

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
 * Connects for undici; the connection is given away only when its certificate is trusted. Plain connections pass.
 * @param address for messages
 */
export function trustingConnector(trust: Trust, address: string, timeoutMs: number): buildConnector.connector {
  const connect = buildConnector({
    timeout: timeoutMs,
    // A resumed session has no certificate to look at.
    maxCachedSessions: 0,
    // Judged below, where the certificate is at hand.
    rejectUnauthorized: false,
    ...(trust.kind === 'authorities' ? { ca: authorities(trust.ca) } : {}),
  })
  return (options, callback) =>
    connect(options, (...[error, socket]) => {
      if (error) return callback(error, null)
      const why = socket instanceof TLSSocket ? distrust(trust, socket, address) : undefined
      if (why === undefined) return callback(null, socket)
      socket.destroy()
      callback(why, null)
    })
}

function distrust(trust: Trust, socket: TLSSocket, address: string): Distrust | undefined {
  if (trust.kind === 'anyone') return undefined
  const { raw } = socket.getPeerCertificate()
  const seen = raw === undefined ? '' : new X509Certificate(raw).fingerprint256.replaceAll(':', '').toLowerCase()
  if (trust.kind === 'fingerprint') {
    if (seen === trust.sha256) return undefined
    return new Distrust(
      'bad_peer',
      `Cannot trust BMC "${address}": its certificate has the SHA-256 fingerprint ${seen}, not ${trust.sha256}; if its certificate was changed, put the new one in its URL`,
    )
  }
  if (socket.authorized) return undefined
  return new Distrust(
    'bad_peer',
    `Cannot trust BMC "${address}": ${reason(socket.authorizationError)}; compare its SHA-256 fingerprint ${seen} with the BMC's own and add fingerprint=${seen} to its URL, or add insecure to trust whoever answers there`,
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
