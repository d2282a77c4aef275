/** Sessions of a Redfish service (DSP0266 §13.3.4): a token that is good until it was not used for a while, or is deleted. */
import { randomBytes } from 'node:crypto'
import type { Now } from '../../base/clock.ts'
import { isSame } from '../web.ts'
import { SESSIONS, SESSION_SECONDS, type Resource } from './resources.ts'

const SESSIONS_MAX = 16

interface Session {
  readonly token: string
  usedMs: number
}

export interface Sessions {
  /** @returns undefined when all are taken */
  open(): { readonly id: string; readonly token: string } | undefined
  /** Whether a token is good; it is used by that. */
  isOpen(token: string): boolean
  /** @returns false when there was none */
  close(id: string): boolean
  ids(): string[]
}

export function createSessions(now: Now): Sessions {
  const sessions = new Map<string, Session>()

  function forgetOld(): void {
    for (const [id, { usedMs }] of sessions) if (now() - usedMs > SESSION_SECONDS * 1000) sessions.delete(id)
  }

  return {
    open() {
      forgetOld()
      if (sessions.size >= SESSIONS_MAX) return undefined
      const id = randomBytes(8).toString('hex')
      const token = randomBytes(32).toString('base64url')
      sessions.set(id, { token, usedMs: now() })
      return { id, token }
    },
    isOpen(token) {
      forgetOld()
      const found = [...sessions.values()].find((one) => isSame(one.token, token))
      if (found !== undefined) found.usedMs = now()
      return found !== undefined
    },
    close: (id) => sessions.delete(id),
    ids() {
      forgetOld()
      return [...sessions.keys()]
    },
  }
}

export function session(id: string, user: string): Resource {
  return {
    '@odata.type': '#Session.v1_6_0.Session',
    '@odata.id': `${SESSIONS}/${id}`,
    Id: id,
    Name: 'User Session',
    UserName: user,
  }
}
