/** HTTP digest authentication, the server's half (RFC 7616): one user, MD5 as firmware has it, qop `auth`. */
import { createHash, randomBytes } from 'node:crypto'
import { isSame } from '../web.ts'

export interface DigestGuard {
  /** @returns undefined when the request proves the password, else the value of WWW-Authenticate */
  challenge(method: string, uri: string, authorization: string | undefined): string | undefined
}

const NONCES_MAX = 64
const NONCE_USES = 1000

export function createDigestGuard({
  user,
  password,
  realm,
}: {
  user: string
  password: string
  realm: string
}): DigestGuard {
  /** From nonce to how often it was used; the oldest first. */
  const nonces = new Map<string, number>()
  const secret = md5(`${user}:${realm}:${password}`)

  function isGood(method: string, uri: string, fields: ReadonlyMap<string, string>): boolean {
    const get = (name: string): string => fields.get(name) ?? ''
    const proof = md5(`${secret}:${get('nonce')}:${get('nc')}:${get('cnonce')}:auth:${md5(`${method}:${uri}`)}`)
    return get('username') === user && get('uri') === uri && isSame(get('response'), proof)
  }

  /** A count that was there already is a replay (RFC 7616 §3.4). */
  function isFresh(fields: ReadonlyMap<string, string>): boolean {
    const nonce = fields.get('nonce') ?? ''
    const used = nonces.get(nonce)
    const count = Number.parseInt(fields.get('nc') ?? '', 16)
    if (used === undefined || !(count > used) || count > NONCE_USES) return false
    nonces.set(nonce, count)
    return true
  }

  return {
    challenge(method, uri, authorization = '') {
      const fields = fieldsOf(authorization)
      const isProved = isGood(method, uri, fields)
      if (isProved && isFresh(fields)) return undefined
      const nonce = randomBytes(16).toString('base64')
      nonces.set(nonce, 0)
      if (nonces.size > NONCES_MAX) nonces.delete(nonces.keys().next().value!)
      return `Digest realm="${realm}", nonce="${nonce}", stale="${isProved}", qop="auth", algorithm=MD5`
    },
  }
}

function fieldsOf(header: string): Map<string, string> {
  if (header.length > 4096 || !/^digest /i.test(header)) return new Map()
  const found = header.matchAll(/(\w+)=(?:"([^"]*)"|([^\s,"]+))/g)
  return new Map([...found].map(([, key, quoted, bare]) => [key!.toLowerCase(), quoted ?? bare!]))
}

function md5(text: string): string {
  return createHash('md5').update(text, 'utf8').digest('hex')
}
