/** Machines in the agent, in memory: who boots it anew is here anew. */
import { randomBytes } from 'node:crypto'
import type { Now } from '../../base/clock.ts'
import { generateKey, type Ed25519Key } from '../../formats/ssh/keys.ts'
import type { AgentKit } from './ports.ts'

/** One boot of the agent. Its token opens the kit's files and the machine's own reports and orders, and no secret of anybody. */
export interface AgentSession {
  /** 32 random bytes in base64url. */
  readonly token: string
  /** By which the machine asked for its script. */
  readonly mac: string
  readonly kit: AgentKit
  /** Of its SSH server, and of who logs in there: made when the machine asks for its orders, and gone with the session. */
  keys?: { readonly host: Ed25519Key; readonly client: Ed25519Key }
  /** The first address that spoke with the token; nobody else may. */
  address?: string
  /** When it was last heard of, milliseconds since the epoch. */
  seenAt: number
  /** Which machine it turned out to be. */
  machineId?: string
  /** Whether it is to start anew. */
  mustReboot?: boolean
}

/** Loading a kernel and starting it takes a slow machine some minutes; after that it asks every few seconds. */
const SILENT_MS = 10 * 60_000
/** A machine that was heard of since then is in the agent now. */
const HERE_MS = 30_000
const MAX_SESSIONS = 4096

export type AgentSessions = ReturnType<typeof createSessions>

export function createSessions(now: Now) {
  const sessions = new Map<string, AgentSession>()

  /** Room for one more: those that are over go, then the oldest that nobody has spoken with, then the oldest. */
  function makeRoom(): void {
    for (const [token, { seenAt }] of sessions) if (now() - seenAt > SILENT_MS) sessions.delete(token)
    if (sessions.size < MAX_SESSIONS) return
    const all = [...sessions.values()]
    const oldest = all.find(({ address }) => address === undefined) ?? all.toSorted((a, b) => a.seenAt - b.seenAt)[0]
    sessions.delete(oldest!.token)
  }

  return {
    open(mac: string, kit: AgentKit): AgentSession {
      makeRoom()
      const session: AgentSession = { token: randomBytes(32).toString('base64url'), mac, kit, seenAt: now() }
      sessions.set(session.token, session)
      return session
    },

    /** What a token opens for firmware, which has another address than the agent may have; undefined when it is over. */
    peek(token: string): AgentSession | undefined {
      const session = sessions.get(token)
      return session && now() - session.seenAt <= SILENT_MS ? session : undefined
    },

    /** The session of a token, heard of just now; undefined for another address than the first. */
    heard(token: string, address: string): AgentSession | undefined {
      const session = this.peek(token)
      if (!session || (session.address ??= address) !== address) return undefined
      session.seenAt = now()
      return session
    },

    /** Its keys: those that it was told of. */
    keysOf(session: AgentSession): NonNullable<AgentSession['keys']> {
      return (session.keys ??= { host: generateKey(), client: generateKey() })
    },

    /** The session of a machine that is in the agent: heard of within so many milliseconds. */
    of(machineId: string, withinMs = HERE_MS): AgentSession | undefined {
      const its = [...sessions.values()].filter(
        (each) => each.machineId === machineId && now() - each.seenAt < withinMs,
      )
      return its.toSorted((a, b) => b.seenAt - a.seenAt)[0]
    },
  }
}
