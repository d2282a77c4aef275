/**
 * What a BMC tells anyone, without a session: how it lets people in, and whether it would let them in without any proof. Nobody
 * is logged in to find out: an Open Session request proposes algorithms, and whoever sends one has proved nothing yet.
 */
import { randomInt } from 'node:crypto'
import { WireError } from '../../../base/errors.ts'
import { COMMANDS, type ChannelAuthentication } from '../../../wire/ipmi/commands.ts'
import { COMPLETION } from '../../../wire/ipmi/completion.ts'
import { parseIpmiResponse, serializeIpmiRequest } from '../../../wire/ipmi/message.ts'
import { parseOpenSessionResponse, PRIVILEGE, serializeOpenSessionRequest } from '../../../wire/ipmi/rakp.ts'
import { PAYLOAD, parseSessionPacket, serializePlain, serializeV15 } from '../../../wire/ipmi/session-packet.ts'
import { NO_ACK_SEQUENCE, parseRmcp, serializeRmcp } from '../../../wire/rmcp/rmcp.ts'
import { openUdpLink, type UdpLink } from './udp-link.ts'

/** Pauses after each try, milliseconds. A BMC may have good reasons to say nothing: then nothing is known. */
const WAITS_MS = [300, 600, 1200]
const NOTHING = { authentication: 0, integrity: 0, confidentiality: 0 }

export interface Openness {
  /** Undefined when the BMC did not say. */
  readonly authentication: ChannelAuthentication | undefined
  /** Takes sessions of cipher suite 0: no authentication, no integrity, no encryption. Undefined when it did not say. */
  readonly takesSuite0: boolean | undefined
}

/** @throws {AppError} `unreachable` when there is no way to the address */
export async function askOpenness(host: string, port: number, signal?: AbortSignal): Promise<Openness> {
  await using link = await openUdpLink(host, port)
  return { authentication: await askAuthentication(link, signal), takesSuite0: await askSuite0(link, signal) }
}

function askAuthentication(link: UdpLink, signal?: AbortSignal): Promise<ChannelAuthentication | undefined> {
  const { netFn, command, request, answer } = COMMANDS.getChannelAuthentication
  const sequence = randomInt(64)
  const data = request.write({ privilege: 'administrator' })
  const question = serializeV15(serializeIpmiRequest({ netFn, command, sequence, data }))
  return ask(link, question, signal, (body) => {
    const packet = parseSessionPacket(body)
    if (packet.sessionId !== 0) return undefined
    const response = parseIpmiResponse(packet.payload)
    const isOurs = response.netFn === netFn && response.command === command && response.sequence === sequence
    return isOurs && response.completion === COMPLETION.ok ? answer.read(response.data) : undefined
  })
}

function askSuite0(link: UdpLink, signal?: AbortSignal): Promise<boolean | undefined> {
  const tag = randomInt(256)
  const consoleSessionId = randomInt(1, 0xffff_ffff)
  const privilege = PRIVILEGE.administrator
  const question = serializePlain(
    'openSessionRequest',
    serializeOpenSessionRequest({ ...NOTHING, tag, consoleSessionId, privilege }),
  )
  return ask(link, question, signal, (body) => {
    const packet = parseSessionPacket(body)
    if (packet.format !== 'v2.0' || packet.payloadType !== PAYLOAD.openSessionResponse) return undefined
    const response = parseOpenSessionResponse(packet.payload)
    if (response.tag !== tag) return undefined
    // One that answers with other algorithms than those that it was asked for has not taken the suite.
    return response.accepted?.authentication === NOTHING.authentication
  })
}

/** Sends until something is accepted or the tries are over. */
async function ask<T>(
  link: UdpLink,
  body: Uint8Array,
  signal: AbortSignal | undefined,
  accept: (body: Uint8Array) => T | undefined,
): Promise<T | undefined> {
  signal?.throwIfAborted()
  const datagram = serializeRmcp({ kind: 'ipmi', sequence: NO_ACK_SEQUENCE, body })
  const { promise, resolve, reject } = Promise.withResolvers<T | undefined>()
  let tries = 0
  let timer: NodeJS.Timeout | undefined
  const send = () => {
    const waitMs = WAITS_MS[tries++]
    if (waitMs === undefined) return resolve(undefined)
    timer = setTimeout(send, waitMs)
    link.send(datagram)
  }
  const onAbort = () => reject(signal!.reason as Error)
  signal?.addEventListener('abort', onAbort, { once: true })
  link.onDatagram = (bytes) => {
    try {
      const message = parseRmcp(bytes)
      const answer = message.kind === 'ipmi' ? accept(message.body) : undefined
      if (answer !== undefined) resolve(answer)
    } catch (error) {
      // Not for us, or nonsense: the question stays open.
      if (!(error instanceof WireError)) reject(error as Error)
    }
  }
  send()
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
    link.onDatagram = undefined
  }
}
