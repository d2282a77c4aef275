/** Sets up an RMCP+ session: one function for each state of `session-state.ts` before `active`. */
import { randomInt } from 'node:crypto'
import { AppError, WireError } from '../../../base/errors.ts'
import type { Log } from '../../../base/log.ts'
import { serializeRmcp, NO_ACK_SEQUENCE } from '../../../wire/rmcp/rmcp.ts'
import {
  CIPHER_SUITES,
  sameAlgorithms,
  type CipherSuite,
  type CipherSuiteId,
} from '../../../wire/ipmi/cipher-suites.ts'
import { COMMANDS } from '../../../wire/ipmi/commands.ts'
import {
  deriveKeys,
  rakp2Code,
  rakp3Code,
  rakp4Code,
  RANDOM_BYTES,
  sameCode,
  type KeyExchange,
  type SessionKeys,
} from '../../../wire/ipmi/keys.ts'
import { serializeIpmiRequest } from '../../../wire/ipmi/message.ts'
import {
  NAME_ONLY_LOOKUP,
  parseOpenSessionResponse,
  parseRakp2,
  parseRakp4,
  PRIVILEGE,
  RAKP_STATUS,
  serializeOpenSessionRequest,
  serializeRakp1,
  serializeRakp3,
  STATUS,
  SUITE_REFUSED,
} from '../../../wire/ipmi/rakp.ts'
import {
  PAYLOAD,
  sealPacket,
  serializePlain,
  type PayloadName,
  type RmcpPlusPacket,
} from '../../../wire/ipmi/session-packet.ts'
import { RETRY_WAITS_MS, Silence, type Exchange } from './exchange.ts'
import { nextRandom } from './random-pool.ts'
import { nextSessionState, type SessionEvent, type SessionState } from './session-state.ts'

export interface Login {
  /** For messages: `10.0.3.7:623`. */
  readonly address: string
  readonly user: string
  readonly password: Uint8Array
  /** Suites that may be used, the best first. */
  readonly cipherSuites: readonly CipherSuiteId[]
  readonly privilege: 'operator' | 'administrator'
}

/** What an active session needs. */
export interface Established {
  readonly keys: SessionKeys
  readonly consoleSessionId: number
  readonly bmcSessionId: number
  readonly privilege: 'operator' | 'administrator'
}

/** RAKP 1 and 3 are tried less often than Open Session: a new session is cheaper than waiting for a broken one. */
const RAKP_WAITS_MS = RETRY_WAITS_MS.slice(1, 5)
const MAX_HANDSHAKES = 4
/** Tries of Open Session with the first suite before the next ones get their turn: some BMCs drop what they do not know. */
const TRIES_PER_SUITE = 3

/** What is known so far; each state adds to it. */
interface Attempt {
  state: SessionState
  suites: CipherSuite[]
  privilege: 'operator' | 'administrator'
  proposals?: readonly { readonly consoleSessionId: number }[]
  exchange?: KeyExchange
  established?: Established
}

/**
 * Runs the handshake to its end.
 * @throws {AppError} `unauthorized`, `unsupported` (no suite in common), `exhausted` (the BMC has no free session), `bad_peer`
 * @throws {Silence} when the BMC does not answer. A link that is kept for a while after that gives up what comes too late.
 */
export async function shakeHands(link: Exchange, login: Login, log: Log, signal?: AbortSignal): Promise<Established> {
  const suites = login.cipherSuites.map((id) => CIPHER_SUITES[id])
  const attempt: Attempt = { state: 'opening', suites, privilege: login.privilege }
  try {
    for (let handshakes = 0; attempt.state !== 'active';) {
      let event: SessionEvent
      switch (attempt.state) {
        case 'opening':
          if (handshakes++ >= MAX_HANDSHAKES) throw new Silence(handshakes - 1, false)
          event = await opening(link, login, attempt, log, signal)
          break
        case 'keying':
          event = await keying(link, login, attempt, signal)
          break
        default:
          event = await proving(link, login, attempt, signal)
      }
      if (event === 'silence') giveUp(link, attempt)
      attempt.state = nextSessionState(attempt.state, event)!
    }
    return attempt.established!
  } catch (error) {
    if (attempt.state === 'opening') giveUpLate(link, attempt)
    else giveUp(link, attempt)
    throw error
  }
}

/**
 * Tells the BMC that a session which it has a place for will not be used: without that, it keeps the place for a minute or longer, and
 * has some four. RAKP 3 with an error status ends it before the keys are proved (§13.22), Close Session after (§22.19): where RAKP 4 is
 * what did not come, only the BMC knows which of the two it is. Neither is repeated, and no answer is waited for.
 */
function giveUp(link: Exchange, attempt: Attempt): void {
  const x = attempt.exchange
  if (!x) return
  delete attempt.exchange
  if (attempt.state === 'proving') link.send(sealedClose(x))
  link.send(refusalOf(x.bmcSessionId))
}

function refusalOf(bmcSessionId: number): Uint8Array {
  const code = new Uint8Array()
  return plain('rakp3', serializeRakp3({ tag: randomInt(256), status: STATUS.badIntegrity, bmcSessionId, code }))
}

/** Gives up whatever session a late answer to Open Session still brings. */
function giveUpLate(link: Exchange, { proposals = [] }: Attempt): void {
  link.onOther = (packet) => {
    if (!isPlain(packet, 'openSessionResponse')) return
    const { consoleSessionId, accepted } = parseOpenSessionResponse(packet.payload)
    const isOurs = proposals.some((proposal) => proposal.consoleSessionId === consoleSessionId)
    if (accepted && isOurs) link.send(refusalOf(accepted.bmcSessionId))
  }
}

function sealedClose(x: KeyExchange): Uint8Array {
  const { netFn, command, request } = COMMANDS.closeSession
  const { bmcSessionId: sessionId } = x
  const payload = serializeIpmiRequest({ netFn, command, sequence: 0, data: request.write(sessionId) })
  const packet = { payloadType: 'ipmi', sessionId, sequence: 1, payload, iv: nextRandom(16) } as const
  return serializeRmcp({ kind: 'ipmi', sequence: NO_ACK_SEQUENCE, body: sealPacket(deriveKeys(x), packet) })
}

async function opening(
  link: Exchange,
  login: Login,
  attempt: Attempt,
  log: Log,
  signal?: AbortSignal,
): Promise<SessionEvent> {
  const firstTag = randomInt(256)
  const firstId = randomInt(1, 0xffff_ff00)
  // Each suite has its own tag and id, so that a late answer to the first is not taken for one to the second.
  const proposals = attempt.suites.map((suite, n) => ({
    suite,
    tag: (firstTag + n) & 0xff,
    consoleSessionId: firstId + n,
  }))
  attempt.proposals = proposals
  const requests = proposals.map(({ suite, tag, consoleSessionId }) => {
    const privilege = PRIVILEGE[attempt.privilege]
    return plain('openSessionRequest', serializeOpenSessionRequest({ ...suite, tag, consoleSessionId, privilege }))
  })
  const { suite, response } = await link.ask(
    (n) => requests[Math.min(Math.floor(n / TRIES_PER_SUITE), requests.length - 1)]!,
    (packet) => {
      if (!isPlain(packet, 'openSessionResponse')) return undefined
      const response = parseOpenSessionResponse(packet.payload)
      const proposal = proposals.find(
        (p) => p.tag === response.tag && p.consoleSessionId === (response.consoleSessionId ?? p.consoleSessionId),
      )
      return proposal && { suite: proposal.suite, response }
    },
    { signal },
  )
  if (response.accepted) {
    if (response.accepted.bmcSessionId === 0) throw badPeer(login, 'it gave session id 0')
    // pyghmi's BMC, and so VirtualBMC and PiKVM, answers any proposal with the algorithms of suite 3: as good as a refusal of 17.
    const { accepted } = response
    const used = attempt.suites.find((allowed) => sameAlgorithms(accepted, allowed))
    if (!used) throw badPeer(login, `it answered cipher suite ${suite.id} with other algorithms`)
    if (used.id !== login.cipherSuites[0])
      log.debug('weaker cipher suite used', {
        address: login.address,
        cipherSuite: used.id,
        wanted: login.cipherSuites[0],
      })
    attempt.exchange = {
      suite: used,
      consoleSessionId: response.consoleSessionId,
      bmcSessionId: response.accepted.bmcSessionId,
      consoleRandom: nextRandom(RANDOM_BYTES),
      bmcRandom: new Uint8Array(RANDOM_BYTES),
      bmcGuid: new Uint8Array(RANDOM_BYTES),
      role: NAME_ONLY_LOOKUP | PRIVILEGE[attempt.privilege],
      user: login.user,
      password: login.password,
    }
    return 'accepted'
  }
  if (SUITE_REFUSED.has(response.status)) {
    attempt.suites = attempt.suites.filter((other) => other !== suite)
    if (attempt.suites.length > 0) return 'silence'
    throw noSuite(login, response.status)
  }
  throw refused(login, response.status)
}

async function keying(link: Exchange, login: Login, attempt: Attempt, signal?: AbortSignal): Promise<SessionEvent> {
  const x = attempt.exchange!
  const tag = randomInt(256)
  const request = plain(
    'rakp1',
    serializeRakp1({ tag, bmcSessionId: x.bmcSessionId, consoleRandom: x.consoleRandom, role: x.role, user: x.user }),
  )
  const answer = await orSilence(
    link.ask(
      () => request,
      (packet) => {
        if (!isPlain(packet, 'rakp2')) return undefined
        const rakp2 = parseRakp2(packet.payload)
        return rakp2.tag === tag && rakp2.consoleSessionId === x.consoleSessionId ? rakp2 : undefined
      },
      { waitsMs: RAKP_WAITS_MS, signal },
    ),
  )
  if (!answer) return 'silence'
  if (!answer.proof) return onRakp2Refusal(login, attempt, answer.status)
  const keyed: KeyExchange = { ...x, bmcRandom: answer.proof.bmcRandom.slice(), bmcGuid: answer.proof.bmcGuid.slice() }
  if (!sameCode(rakp2Code(keyed), answer.proof.code)) throw wrongPassword(login)
  attempt.exchange = keyed
  return 'bmc-proved'
}

async function proving(link: Exchange, login: Login, attempt: Attempt, signal?: AbortSignal): Promise<SessionEvent> {
  const x = attempt.exchange!
  const tag = randomInt(256)
  const request = plain(
    'rakp3',
    serializeRakp3({ tag, status: STATUS.ok, bmcSessionId: x.bmcSessionId, code: rakp3Code(x) }),
  )
  let tries = 0
  const answer = await orSilence(
    link.ask(
      (n) => ((tries = n + 1), request),
      (packet) => {
        if (!isPlain(packet, 'rakp4')) return undefined
        const rakp4 = parseRakp4(packet.payload)
        return rakp4.tag === tag && rakp4.consoleSessionId === x.consoleSessionId ? rakp4 : undefined
      },
      { waitsMs: RAKP_WAITS_MS, signal },
    ),
  )
  // A refusal of a repeated RAKP 3 says no more than that the first one was taken and its answer lost.
  if (!answer || (answer.status !== STATUS.ok && tries > 1)) return 'silence'
  if (answer.status === STATUS.badIntegrity) throw wrongPassword(login)
  if (answer.status !== STATUS.ok) throw refused(login, answer.status)
  const keys = deriveKeys(x)
  if (!sameCode(rakp4Code(x, keys), answer.code))
    throw badPeer(
      login,
      'its last proof (RAKP 4) is wrong: it is not the BMC that has this password, or its firmware is broken',
    )
  const { consoleSessionId, bmcSessionId } = x
  attempt.established = { keys, consoleSessionId, bmcSessionId, privilege: attempt.privilege }
  return 'keys-proved'
}

function onRakp2Refusal(login: Login, attempt: Attempt, status: number): SessionEvent {
  if (status === STATUS.invalidSession) return 'silence'
  if (isRoleRefusal(status) && attempt.privilege === 'administrator') {
    attempt.privilege = 'operator'
    return 'silence'
  }
  throw refused(login, status)
}

function isRoleRefusal(status: number): boolean {
  return status === STATUS.invalidRole || status === STATUS.unauthorizedRole
}

async function orSilence<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof Silence && !error.isRefused) return undefined
    throw error
  }
}

function plain(type: PayloadName, payload: Uint8Array): Uint8Array {
  return serializeRmcp({ kind: 'ipmi', sequence: NO_ACK_SEQUENCE, body: serializePlain(type, payload) })
}

function isPlain(packet: RmcpPlusPacket, type: PayloadName): boolean {
  if (packet.payloadType !== PAYLOAD[type]) return false
  if (packet.isAuthenticated || packet.isEncrypted)
    throw new WireError('session setup message', 'it is signed or encrypted')
  return true
}

function badPeer(login: Login, why: string): AppError {
  return new AppError('bad_peer', `Cannot log in to BMC "${login.address}": ${why}`)
}

function wrongPassword(login: Login): AppError {
  return new AppError(
    'unauthorized',
    `Cannot log in to BMC "${login.address}" as "${login.user}": the password is not the BMC's; check it there, it is case-sensitive and at most 20 bytes long`,
  )
}

function noSuite(login: Login, status: number): AppError {
  const tried = login.cipherSuites.join(', ')
  const help = login.cipherSuites.includes(3)
    ? 'enable suite 17 or 3 on the BMC, or use Redfish'
    : 'allow cipher suite 3 for this BMC, or use Redfish'
  return new AppError(
    'unsupported',
    `Cannot log in to BMC "${login.address}": it refused cipher suites ${tried} (${statusName(status)}); ${help}`,
  )
}

function refused(login: Login, status: number): AppError {
  const cannot = `Cannot log in to BMC "${login.address}" as "${login.user}"`
  switch (status) {
    case STATUS.noSession:
    case STATUS.noRoleSession:
      return new AppError(
        'exhausted',
        `${cannot}: all its sessions are taken; end other tools' sessions, or wait a minute until the BMC drops the dead ones`,
      )
    case STATUS.unauthorizedName:
      return new AppError(
        'unauthorized',
        `${cannot}: it has no such user with access over the network; check the name, and that the user is enabled for IPMI over LAN`,
      )
    case STATUS.invalidRole:
    case STATUS.unauthorizedRole:
      return new AppError(
        'forbidden',
        `${cannot}: the user may not be operator; give it the operator or administrator level on the BMC`,
      )
    default:
      return new AppError('bad_peer', `${cannot}: the BMC says "${statusName(status)}"`)
  }
}

function statusName(status: number): string {
  return RAKP_STATUS[status] ?? `status ${status}`
}
