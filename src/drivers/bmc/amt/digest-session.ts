/** Digest authentication with one server: its nonce is used until it is stale, with a count that never repeats (RFC 7616 §3.3, §3.4). */
import { randomBytes } from 'node:crypto'
import { parseChallenges } from '../../../wire/http/challenge.ts'
import { digestAuthorization, digestChallengeOf, type DigestChallenge } from '../../../wire/http/digest.ts'

export interface DigestSession {
  /** The Authorization header of the next request; undefined before the server has said what it wants. */
  authorization(method: string, uri: string): string | undefined
  /**
   * Takes in the WWW-Authenticate header of a 401.
   * @returns `again` when the request is to be sent with the new nonce; `refused` when this one proved the password and it was not
   *   right; `foreign` when the server asks for no digest that we have
   */
  challenged(header: string | undefined): 'again' | 'refused' | 'foreign'
}

export function createDigestSession(user: string, password: string): DigestSession {
  let challenge: DigestChallenge | undefined
  let nonceCount = 0
  return {
    authorization(method, uri) {
      if (!challenge) return undefined
      nonceCount++
      const clientNonce = randomBytes(16).toString('hex')
      return digestAuthorization(challenge, { method, uri, user, password, nonceCount, clientNonce })
    },

    challenged(header) {
      const next = digestChallengeOf(parseChallenges(header ?? ''))
      if (!next) return 'foreign'
      // Firmware forgets its nonces without calling them stale; one that it gave just now and refused means the password.
      const isRefused = nonceCount === 1 && !next.isStale
      challenge = next
      nonceCount = 0
      return isRefused ? 'refused' : 'again'
    },
  }
}
