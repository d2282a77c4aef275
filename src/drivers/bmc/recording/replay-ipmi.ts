/** Sessions that are played from a recording: the driver's own, with questions that go to the recording instead of a network. */
import { randomBytes } from 'node:crypto'
import { AppError, ERROR_CODES, type ErrorCode } from '../../../base/errors.ts'
import type { Exchanged, IpmiStep } from '../../../formats/bmc-recording/recording.ts'
import { CIPHER_SUITES, type CipherSuite } from '../../../wire/ipmi/cipher-suites.ts'
import { COMMANDS } from '../../../wire/ipmi/commands.ts'
import type { SessionKeys } from '../../../wire/ipmi/keys.ts'
import { parseIpmiRequest, serializeIpmiResponse } from '../../../wire/ipmi/message.ts'
import { openPacket, parseSessionPacket, sealPacket } from '../../../wire/ipmi/session-packet.ts'
import { parseRmcp } from '../../../wire/rmcp/rmcp.ts'
import { Silence } from '../ipmi/exchange.ts'
import { IpmiSession, type OpenSession, type Questions } from '../ipmi/session.ts'
import { SILENCE } from '../ipmi/tap.ts'
import { createScript } from './script.ts'

const CONSOLE_SESSION = 1
const BMC_SESSION = 2
const OK = 0
const { chassisControl, closeSession } = COMMANDS

/** Opens sessions as they were opened then, which answer as it was answered then. */
export function replaySessions(exchanges: readonly Exchanged[]): OpenSession {
  const logins = exchanges.filter((exchange) => exchange.is === 'ipmi-session')
  const script = createScript(
    exchanges.filter((exchange) => exchange.is === 'ipmi'),
    {
      keyOf: ({ netFn, command, data }) => `${netFn} ${command} ${data}`,
      isChange: ({ netFn, command }) => netFn === chassisControl.netFn && command === chassisControl.command,
    },
  )
  let login = 0
  return async (options) => {
    const { suite, privilege = 'administrator', error } = logins[Math.min(login++, logins.length - 1)] ?? {}
    options.tap?.({ is: 'ipmi-session', ms: 0, tookMs: 0, suite, privilege, ...(error ? { error } : {}) })
    if (error?.code === SILENCE) throw new Silence(1, false)
    if (error) throw new AppError(codeOf(error.code), error.message)
    const keys = playKeys(CIPHER_SUITES[suite === 17 ? 17 : 3])
    const established = { keys, consoleSessionId: CONSOLE_SESSION, bmcSessionId: BMC_SESSION, privilege }
    return new IpmiSession(NO_LINK, playQuestions(keys, script.next), established, options)
  }
}

const NO_LINK: AsyncDisposable = { [Symbol.asyncDispose]: () => Promise.resolve() }

function playKeys(suite: CipherSuite): SessionKeys {
  return { suite, sik: randomBytes(32), k1: randomBytes(32), k2: randomBytes(32) }
}

function playQuestions(keys: SessionKeys, find: (asked: IpmiStep) => IpmiStep): Questions {
  let sequence = 0
  return {
    onOther: undefined,
    send() {},
    cancel() {},
    async ask(make, accept) {
      const packet = v20(parseRmcp(make(0)))
      const request = parseIpmiRequest(openPacket(keys, packet))
      const { netFn, command } = request
      // A driver closes when it likes, whether that was recorded or not.
      const isClosing = netFn === closeSession.netFn && command === closeSession.command
      const asked = { is: 'ipmi', ms: 0, tookMs: 0, name: '', netFn, command, data: request.data.toHex() } as const
      const { completion, answer = '' } = isClosing ? { completion: OK } : find(asked)
      if (completion === undefined) throw new Silence(1, false)
      const data = Uint8Array.fromHex(answer)
      const payload = serializeIpmiResponse({ netFn, command, sequence: request.sequence, completion, data })
      const sealed = sealPacket(keys, {
        payloadType: 'ipmi',
        sessionId: CONSOLE_SESSION,
        sequence: ++sequence,
        payload,
        iv: randomBytes(16),
      })
      const accepted = accept(v20({ kind: 'ipmi', body: sealed }))
      if (accepted === undefined) throw new Error('Cannot play an answer that its question does not accept')
      return accepted
    },
  }
}

function v20(message: { kind: string; body?: Uint8Array }) {
  const packet = parseSessionPacket(message.body!)
  if (packet.format !== 'v2.0') throw new Error('Cannot play a packet that is not of a v2.0 session')
  return packet
}

function codeOf(code: string): ErrorCode {
  return Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'bad_peer'
}
