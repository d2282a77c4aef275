/** Keeps what logs in out of a recording: secrets that are known wherever they stand, and places that hold secrets whatever they are. */
import type { Exchanged, HttpStep } from './recording.ts'

const MASK = '***'

/** Headers that log in, in requests and in answers. */
const SECRET_HEADERS: ReadonlySet<string> = new Set([
  'authorization',
  'authentication-info',
  'cookie',
  'proxy-authorization',
  'set-cookie',
  'www-authenticate',
  'x-auth-token',
  'x-kvmd-passwd',
  'x-kvmd-user',
])
/** Fields of JSON and of forms that hold a secret. */
const SECRET_FIELDS = /((?:password|passwd|token|secret|community|key)"?\s*[=:]\s*)("(?:[^"\\]|\\.)*"|[^&\s,}]+)/gi

/**
 * Masks a set of secrets, also where they are written as base64, percent-encoded, in hexadecimal or as JSON writes them.
 * @param secrets of which none is shown; those shorter than 2 characters are not looked for
 */
export function createMask(secrets: readonly string[]): (text: string) => string {
  const forms = new Set(secrets.filter((secret) => secret.length > 1).flatMap(formsOf))
  const longestFirst = [...forms].toSorted((a, b) => b.length - a.length)
  return (text) => longestFirst.reduce((masked, form) => masked.replaceAll(form, MASK), text)
}

/** An exchange without what logs in. What a person wrote into a field that is not called so stays. */
export function maskExchange(exchange: Exchanged, mask: (text: string) => string): Exchanged {
  switch (exchange.is) {
    case 'ipmi':
      return maskIpmi(exchange)
    case 'ipmi-session':
      return exchange.error
        ? { ...exchange, error: { ...exchange.error, message: mask(exchange.error.message) } }
        : exchange
    case 'http':
      return maskHttp(exchange, mask)
    default:
      return exchange satisfies never
  }
}

/** Set User Password (§22.30) and Set Channel Security Keys (§22.25): what stands behind the user or key is a secret. */
function maskIpmi<T extends { netFn: number; command: number; data: string }>(exchange: T): T {
  const isSecret = exchange.netFn === 6 && (exchange.command === 0x47 || exchange.command === 0x56)
  return isSecret ? { ...exchange, data: exchange.data.slice(0, 4) } : exchange
}

function maskHttp(exchange: HttpStep, mask: (text: string) => string): HttpStep {
  const headers = (all: Readonly<Record<string, string>>) =>
    Object.fromEntries(
      Object.entries(all).map(([name, value]) => [
        name,
        // A session is known by its path, and some BMCs name it by its token.
        SECRET_HEADERS.has(name.toLowerCase())
          ? maskedHeader(name, value)
          : mask(value).replace(/(\/Sessions\/)[^/?]+/i, `$1${MASK}`),
      ]),
    )
  const body = (text: string) => mask(text.replaceAll(SECRET_FIELDS, (_all, field: string) => `${field}"${MASK}"`))
  return {
    ...exchange,
    path: mask(exchange.path),
    headers: headers(exchange.headers),
    ...(exchange.body === undefined ? {} : { body: body(exchange.body) }),
    ...(exchange.answerHeaders ? { answerHeaders: headers(exchange.answerHeaders) } : {}),
    ...(exchange.answer === undefined ? {} : { answer: body(exchange.answer) }),
    ...(exchange.error ? { error: { ...exchange.error, message: mask(exchange.error.message) } } : {}),
  }
}

/** By which scheme a service lets in is no secret, and what a driver does comes of it. */
function maskedHeader(name: string, value: string): string {
  const scheme = name.toLowerCase() === 'www-authenticate' ? /^[a-z]{1,16}(?= )/i.exec(value)?.[0] : undefined
  return scheme === undefined ? MASK : `${scheme} ${MASK}`
}

function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret)
  const json = JSON.stringify(secret).slice(1, -1)
  return [secret, json, encodeURIComponent(secret), bytes.toString('hex'), ...base64Forms(bytes)]
}

/** As it stands in the base64 of something longer, from any of its three offsets; the characters at its ends depend on what is beside it. */
function base64Forms(bytes: Buffer): string[] {
  const forms = [0, 1, 2].map((offset) => {
    const padded = Buffer.concat([Buffer.alloc(offset), bytes])
    const from = Math.ceil((offset * 8) / 6)
    const to = Math.floor((padded.length * 8) / 6)
    return padded.toString('base64').slice(from, to)
  })
  return forms.filter((form) => form.length >= 4)
}
